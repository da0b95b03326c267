// Checks the leaves in a directory by their C2SP tlog-proofs, with Go's golang.org/x/mod/sumdb: NNNNNNNNNN.json beside
// NNNNNNNNNN.tlog-proof, and the keys that must have signed the head in keys.vkey. Prints how many hold.
package main

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

func need(truth bool, text string) {
	if !truth {
		fmt.Println("FAIL", text)
		os.Exit(1)
	}
}

// c2sp.org/tlog-cosignature, type 0x04, which sumdb/note does not know.
type witness struct {
	name string
	hash uint32
	key  ed25519.PublicKey
}

func (w witness) Name() string    { return w.name }
func (w witness) KeyHash() uint32 { return w.hash }
func (w witness) Verify(text, signature []byte) bool {
	if len(signature) != 8+ed25519.SignatureSize {
		return false
	}
	signed := fmt.Sprintf("cosignature/v1\ntime %d\n%s", binary.BigEndian.Uint64(signature), text)
	return ed25519.Verify(w.key, []byte(signed), signature[8:])
}

func verifier(text string) note.Verifier {
	words := strings.SplitN(text, "+", 3)
	need(len(words) == 3, "a verifier key of another form")
	raw, err := base64.StdEncoding.DecodeString(words[2])
	need(err == nil && len(raw) == 33, "a verifier key of another form")
	if raw[0] == 4 {
		hash, err := strconv.ParseUint(words[1], 16, 32)
		need(err == nil, "a verifier key of another form")
		return witness{words[0], uint32(hash), raw[1:]}
	}
	known, err := note.NewVerifier(text)
	need(err == nil, "a verifier key that sumdb/note does not take")
	return known
}

func main() {
	dir := os.Args[1]
	keys, err := os.ReadFile(filepath.Join(dir, "keys.vkey"))
	need(err == nil, "no keys.vkey")
	var verifiers []note.Verifier
	for _, line := range strings.Fields(string(keys)) {
		verifiers = append(verifiers, verifier(line))
	}
	proofs, _ := filepath.Glob(filepath.Join(dir, "*.tlog-proof"))
	need(len(proofs) > 0, "no proof")
	for _, path := range proofs {
		name := filepath.Base(path)
		data, _ := os.ReadFile(path)
		leaf, err := os.ReadFile(strings.TrimSuffix(path, ".tlog-proof") + ".json")
		need(err == nil, name+": its leaf is not there")
		head, signed, _ := bytes.Cut(data, []byte("\n\n"))
		lines := strings.Split(string(head), "\n")
		need(len(lines) > 1 && lines[0] == "c2sp.org/tlog-proof@v1", name+": not a tlog-proof")
		index, err := strconv.ParseInt(strings.TrimPrefix(lines[1], "index "), 10, 64)
		need(err == nil, name+": no index")
		var path tlog.RecordProof
		for _, line := range lines[2:] {
			hash, err := tlog.ParseHash(line)
			need(err == nil, name+": a hash of another form")
			path = append(path, hash)
		}
		opened, err := note.Open(signed, note.VerifierList(verifiers...))
		need(err == nil && len(opened.Sigs) == len(verifiers), name+": its checkpoint is not signed by every key")
		text := strings.Split(opened.Text, "\n")
		need(len(text) == 4 && text[0] == verifiers[0].Name(), name+": its checkpoint is of another form or log")
		size, err := strconv.ParseInt(text[1], 10, 64)
		need(err == nil, name+": no size")
		root, err := tlog.ParseHash(text[2])
		need(err == nil, name+": no root")
		err = tlog.CheckRecord(path, size, root, index, tlog.RecordHash(leaf))
		need(err == nil, name+": the leaf is not in the tree")
	}
	fmt.Println("ok", len(proofs))
}
