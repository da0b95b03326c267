// Makes go-tlog.json: what golang.org/x/mod/sumdb/tlog says of a log of 70 records. Debian: golang-golang-x-mod-dev.
//
//	GO111MODULE=off GOPATH=/usr/share/gocode go run generate.go > go-tlog.json
package main

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"

	"golang.org/x/mod/sumdb/tlog"
)

type record struct {
	Index int64    `json:"index"`
	Size  int64    `json:"size"`
	Proof []string `json:"proof"`
}

type tree struct {
	Old   int64    `json:"old"`
	New   int64    `json:"new"`
	Proof []string `json:"proof"`
}

type tile struct {
	Level int    `json:"level"`
	Index int64  `json:"index"`
	Width int    `json:"width"`
	Path  string `json:"path"`
}

type store []tlog.Hash

func (s store) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, index := range indexes {
		out[i] = s[index]
	}
	return out, nil
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func hexes(hashes []tlog.Hash) []string {
	out := []string{}
	for _, h := range hashes {
		out = append(out, hex.EncodeToString(h[:]))
	}
	return out
}

func main() {
	const size = 70
	var stored store
	out := struct {
		Leaves  []string `json:"leaves"`
		Roots   []string `json:"roots"`
		Records []record `json:"records"`
		Trees   []tree   `json:"trees"`
		Tiles   []tile   `json:"tiles"`
	}{}
	var roots []tlog.Hash
	for n := int64(0); n < size; n++ {
		data := []byte(fmt.Sprintf("{\"index\":%d}\n", n))
		hashes, err := tlog.StoredHashes(n, data, stored)
		must(err)
		stored = append(stored, hashes...)
		root, err := tlog.TreeHash(n+1, stored)
		must(err)
		roots = append(roots, root)
		out.Leaves = append(out.Leaves, hex.EncodeToString(data))
		out.Roots = append(out.Roots, hex.EncodeToString(root[:]))
	}
	for n := int64(1); n <= size; n += 3 {
		for i := int64(0); i < n; i += 1 + n/7 {
			proof, err := tlog.ProveRecord(n, i, stored)
			must(err)
			out.Records = append(out.Records, record{i, n, hexes(proof)})
		}
		for old := int64(1); old <= n; old += 1 + n/5 {
			proof, err := tlog.ProveTree(n, old, stored)
			must(err)
			must(tlog.CheckTree(proof, n, roots[n-1], old, roots[old-1]))
			out.Trees = append(out.Trees, tree{old, n, hexes(proof)})
		}
	}
	// Go puts the tile height in front (tile/8/...), and C2SP tlog-tiles leaves it out.
	for _, t := range []tlog.Tile{{H: 8, L: 0, N: 0, W: 256}, {H: 8, L: 0, N: 1234067, W: 256}, {H: 8, L: 2, N: 999, W: 17},
		{H: 8, L: 1, N: 1000, W: 1}} {
		out.Tiles = append(out.Tiles, tile{t.L, t.N, t.W, "tile/" + t.Path()[len("tile/8/"):]})
	}
	encoder := json.NewEncoder(os.Stdout)
	encoder.SetIndent("", " ")
	must(encoder.Encode(out))
}
