#!/usr/bin/env bash
# Check segments of a body camera with stock tools alone: tar, sha256sum, openssl, age, ffprobe, coreutils and awk.
#
#   verify.sh SEGMENT.tar... --trust ROOT.pem [--excerpt] [--key AGENCY.agekey] [--media OUT.mp4]
#
# docs/evidence-format.md says what is checked and why; a number like (5) is its section. One line a check; exit 0 where
# all hold, 1 where one fails, 2 for wrong usage or a missing tool. Every segment of a log belongs here. --excerpt says
# that these are some of them, from an export: each recording must be whole, the log before it need not be there. With
# --key every entry is opened too; with --media a recording's init and parts are kept as they were sealed, to be played.
set -uo pipefail
export LC_ALL=C

stop() {
    printf '%s\n' "$@" >&2
    exit 2
}
usage() {
    stop "usage: verify.sh SEGMENT.tar... --trust ROOT.pem [--excerpt] [--key AGENCY.agekey] [--media OUT.mp4]" \
        "example: verify.sh station/segments/cam-0001/*.tar --trust trust/root.pem --key keys/agency.agekey"
}

segments=() trust='' key='' media='' excerpt=''
while (($#)); do
    case $1 in
        --trust | --key | --media) (($# > 1)) || usage && printf -v "${1#--}" %s "$2" && shift ;;
        --excerpt) excerpt=yes ;;
        -*) usage ;;
        *) segments+=("$1") ;;
    esac
    shift
done
((${#segments[@]})) && [[ $trust ]] || usage
for file in "${segments[@]}" "$trust" ${key:+"$key"}; do
    [[ -f $file && -r $file ]] || stop "error: $file: no such file, or not readable"
done
for tool in tar sha256sum openssl awk base64 cmp diff ${key:+age ffprobe}; do
    command -v "$tool" >/dev/null || stop "error: $tool is not installed"
done
work=$(mktemp -d) || stop "error: no temporary directory"
trap 'rm -rf "$work"' EXIT
dir=$work/segment fails=0

printable() { tr -c '[:print:]\n' '?'; } # evidence may be hostile: nothing in it may steer the terminal
bad() { echo "$1" && return 1; }
fail() {
    fails=$((fails + 1))
    echo "FAIL  $1" | printable
    return 1
}
# check TEXT COMMAND...: one line, by the command's status; what it said, where it failed.
check() {
    "${@:2}" >"$work/said" 2>&1 && echo "ok    $1" && return
    fail "$1" || head -n 5 "$work/said" | sed 's/^/        /' | printable
    return 1
}

# json FIELD...: of each line of the input, one JSON object, the values of these fields, split by "|". Names are like
# .index or .sealed.header.size; an array is "[" and its values. Fails where a line is no such object.
json() {
    awk -v fields="$*" '
    function token(   t) {
        if (!match(text, /^[ \t\r]*("([^"\\]|\\.)*"|[-0-9a-z]+|[{}:,]|\[|\])/)) exit bad = 1
        t = substr(text, 1, RLENGTH); text = substr(text, RLENGTH + 1)
        sub(/^[ \t\r]+/, "", t)
        return t
    }
    function value(path, t,   i) {
        found[path] = t; gsub(/^"|"$|[|]/, "", found[path])
        if (t == "{") while ((t = token()) != "}") {
            if (t == ",") t = token()
            t = path "." substr(t, 2, length(t) - 2)
            if (t in found || token() != ":") exit bad = 1
            value(t, token())
        }
        else if (t == "[") for (i = 0; (t = token()) != "]"; i++) {
            value(path "." i, t == "," ? token() : t)
            found[path] = found[path] " " found[path "." i]
        }
    }
    {
        split("", found); text = $0; value("", token())
        if (text !~ /^[ \t\r]*$/) exit bad = 1
        for (i = 1; i <= count; i++) printf "%s%s", found[field[i]], i < count ? "|" : "\n"
    }
    BEGIN { count = split(fields, field, " ") }
    END { exit bad }'
}

# -- the tree (2); hashes are spelled \x00\x01..., which printf %b turns into bytes --------------------------------

# hashes FILE...: sets the array $hash, with one process for all files.
hashes() { mapfile -t hash < <(sha256sum -- "$@" | cut -c1-64 | sed 's/../\\x&/g'); }

# nodes NAME LEFT RIGHT...: tree[NAME] = SHA-256(0x01 || tree[LEFT] || tree[RIGHT]), as RFC 6962 has it.
nodes() {
    local made=() i
    while (($#)); do
        printf %b "\x01${tree[$2]}${tree[$3]}" >"$dir/node.$1"
        made+=("$1")
        shift 3
    done
    [[ ! ${made[*]} ]] || hashes "${made[@]/#/$dir/node.}"
    for i in "${!made[@]}"; do tree[${made[i]}]=${hash[i]}; done
}

# tree[LEVEL.INDEX] is the root of 2^LEVEL leaves from INDEX * 2^LEVEL on, tree[root.N] that of the log's first N. The
# frontier, in segment.json, is what was before: the perfect subtrees of the first $first leaves, largest first.
grow_tree() {
    local level index n left=${#frontier[@]} todo
    tree=() after=()
    hashes "$dir"/*.leaf
    for ((index = first; index < end; index++)); do tree[0.$index]=${hash[index - first]}; done
    for ((level = 0; end >> level; level++)); do
        todo=()
        ((first >> level & 1)) && tree[$level.$(((first >> level) - 1))]=${frontier[--left]-}
        for ((index = first >> level; level && index < end >> level; index++)); do
            todo+=("$level.$index" "$((level - 1)).$((2 * index))" "$((level - 1)).$((2 * index + 1))")
        done
        nodes "${todo[@]}"
        todo=()
        for ((n = first + 1; n <= end; n++)); do
            ((n >> level & 1)) || continue
            index=$level.$(((n >> level) - 1))
            [[ ! ${tree[root.$n]-} ]] || todo+=("root.$n" "$index" "root.$n")
            tree[root.$n]=${tree[root.$n]-${tree[$index]}}
        done
        nodes "${todo[@]}"
        ((end >> level & 1)) && after=("${tree[$level.$(((end >> level) - 1))]}" "${after[@]}")
    done
    ((left == 0))
}

# -- one segment ---------------------------------------------------------------------------------------------------

# The archive holds plain files under the names it must have, in their order (5), so that it can be unpacked safely.
check_members() {
    tar -tf "$file" >"$dir/members" && tar -tvf "$file" --numeric-owner >"$dir/modes" || return 1
    ! grep -v '^-rw-r--r-- 0/0 ' "$dir/modes" || return 1
    first=$(grep -Exm 1 '[0-9]{10}\.age' "$dir/members") end=$(grep -c note "$dir/members")
    [[ $first ]] && first=$((10#${first%.age})) && end=$((first + end)) || return 1
    {
        [[ $name == e* ]] || echo init.age
        printf '%s\n' segment.json chain.pem
        seq -f '%010.0f' "$first" "$((end - 1))" | sed 's/.*/&.age\n&.json\n&.note/'
    } | diff - "$dir/members"
}

# Spelled as the format page says, the files make the same archive: no byte of it is anything else (5). Not every tar
# fills the device numbers of a header alike, so the headers are made here.
check_spelling() {
    local size member
    tar -xf "$file" -C "$dir" --no-same-owner --no-same-permissions || return 1
    while read -r _ _ size _ _ member; do
        ustar_header "$member" "$size" && cat "$dir/$member" && printf %b "${nul:0:5*(-size & 511)}"
    done <"$dir/modes" >"$dir/again" && printf %b "$nul$nul" >>"$dir/again" && cmp "$dir/again" "$file"
}

# NAME SIZE -> 512 bytes. 3181 is the sum of those that are the same in every header.
ustar_header() {
    local digits char sum=3181
    printf -v digits %011o "$2"
    while read -rn 1 char; do ((sum += ${code[$char]-0})); done <<<"$1$digits"
    printf -v sum %06o "$sum"
    printf %b "$1${nul:0:5*(100-${#1})}0000644\00000000000\00000000000\0000$digits\000000000000000\0000$sum\0000 0" \
        "${nul:0:500}ustar\000000${nul:0:320}0000000\00000000000\0000${nul:0:835}"
}
printf -v nul '\\0000%.0s' {1..512}
declare -A code
for char in {a..z} {0..9} .; do printf -v "code[$char]" %d "'$char"; done

# segment.json in its one spelling (5). Its frontier is the tree of the leaves before this segment.
read_head() {
    local nodes node said quoted='' own
    said=$(json .origin .camera .recording .seq .frontier <"$dir/segment.json") || return 1
    IFS='|' read -r origin camera recording seq nodes <<<"$said"
    [[ $camera =~ ^[-a-z0-9]{1,32}$ && $origin =~ ^[-.a-zA-Z0-9]+/$camera/[1-9][0-9]*$ &&
        "$recording $seq" =~ ^(null 0|r[0-9]{10}-[0-9a-f]{8} (0|[1-9][0-9]{0,3}))$ ]] || return 1
    read -ra nodes <<<"${nodes#[}"
    frontier=()
    for node in ${nodes[@]+"${nodes[@]}"}; do
        frontier+=("$(base64 -d <<<"$node" | od -An -v -w32 -tx1 | sed 's/ /\\x/g')")
        quoted+=",\"$(printf %b "${frontier[-1]}" | base64)\""
    done
    said=\"$recording\" own=$recording-$(printf %04d "$seq")
    [[ $recording != null ]] || said=null own=$(printf 'e%010d-%s' "$first" "${name:12}")
    printf '{"v":1,"origin":"%s","camera":"%s","recording":%s,"seq":%s,"first":%s,"frontier":[%s]}\n' \
        "$origin" "$camera" "$said" "$seq" "$first" "${quoted#,}" | cmp - "$dir/segment.json" || return 1
    [[ $name == "$own" ]] || bad "it calls itself $own"
}

# The fields of all leaves (3), a line each, as next_leaf reads them.
read_leaves() {
    local hex='[0-9a-f]{64}' number='(0|[1-9][0-9]{0,17})'
    cat "$dir"/[0-9]*.json | json .index .class .kind .camera .boot .mono_ns .chain .sealed.sha256 .sealed.header.size \
        .sealed.header.sha256 .sealed.payload.size .sealed.payload.sha256 .body .recording .part .init \
        .facts.segment .facts.sha256 >"$dir/leaves" || return 1
    local form="$number/(media|event)/[a-z]*/$camera/[-0-9a-f]{36}/$number/$hex/$hex/$number/$hex/$number/$hex"
    form+="/($hex)?/[-0-9a-z]*/$number?/($hex)?/.*"
    ! grep -Evx "${form//\//[|]}" "$dir/leaves" &&
        cut -d'|' -f1 "$dir/leaves" | diff - <(seq "$first" "$((end - 1))")
}
next_leaf() {
    IFS='|' read -r index class kind _ boot mono_ns chain sha head_size head_sha _ body_sha plain_sha of part \
        init named named_sha && printf -v stem '%s/%010d' "$dir" "$index"
}

# Every digest that a leaf names, and that the age header ends where it says.
check_digests() {
    while next_leaf; do
        head -c "$head_size" "$stem.age" >"$stem.head" && tail -c "+$((head_size + 1))" "$stem.age" >"$stem.body"
        printf '%s  %s\n' "$sha" "$stem.age" "$head_sha" "$stem.head" "$body_sha" "$stem.body" "$chain" "$dir/chain.pem"
        [[ ! $init ]] || printf '%s  %s\n' "$init" "$dir/init.age"
    done <"$dir/leaves" | sort -u >"$dir/digests"
    sha256sum --strict --quiet -c "$dir/digests" &&
        cut -d'|' -f11 "$dir/leaves" | diff - <(stat -c %s "$dir"/*.body) &&
        [[ $(tail -qn 1 "$dir"/*.head | grep -c '^--- ') == "$((end - first))" ]]
}

# Session below identity below issuing below root, each in its role (6); dates are not checked, as that section says.
check_chain() {
    local depth roles=("" "CN=$camera [-0-9a-f]*,OU=bodycam camera session" "CN=$camera,OU=bodycam camera identity"
        "CN=[^,]*,OU=bodycam issuing")
    awk -v cert="$dir/cert" '/BEGIN CERT/ { n++ } { print > (cert n) } END { exit n != 3 }' "$dir/chain.pem" &&
        cat "$dir/cert2" "$dir/cert3" >"$dir/between" &&
        openssl verify -no_check_time -CAfile "$trust" -untrusted "$dir/between" "$dir/cert1" || return 1
    for depth in 1 2 3; do
        openssl x509 -in "$dir/cert$depth" -noout -subject -nameopt RFC2253 | grep -qx "subject=${roles[depth]}" ||
            bad "certificate $depth is not of ${roles[depth]}" || return
    done
    openssl x509 -in "$dir/cert1" -noout -pubkey >"$dir/session.pub"
    openssl x509 -in "$dir/cert2" -noout -pubkey >"$dir/identity.pub"
    openssl pkey -pubin -in "$dir/identity.pub" -outform DER | openssl dgst -sha256 -binary >"$dir/identity.id"
    { printf '%s\n\1' "$origin" && openssl pkey -pubin -in "$dir/session.pub" -outform DER | tail -c 32; } |
        openssl dgst -sha256 -binary >"$dir/session.id"
}

# Each checkpoint (2): the root of the leaves up to it, signed by the session and, where that must be, by the identity.
check_notes() {
    local lines root status=0
    while next_leaf; do
        root=$(printf %b "${tree[root.$((index + 1))]}" | base64)
        printf '%s\n' "$origin" "$((index + 1))" "$root" >"$dir/text"
        { cat "$dir/text" && echo; } >"$dir/note"
        mapfile -t -s 4 lines <"$stem.note" 2>/dev/null
        signed_by session "${lines[0]-}" &&
            { [[ ! ${lines[1]-} && ! $kind =~ ^(session|start|stop|recovery|shutdown)$ ]] ||
                signed_by identity "${lines[1]-}" -digest sha256; } &&
            cmp "$dir/note" "$stem.note" || status=1
    done <"$dir/leaves"
    return $status
}
signed_by() { # WHO LINE OPTION...: writes the line to $dir/note as it must be
    base64 -d <<<"${2##* }" >"$dir/raw"
    tail -c +5 "$dir/raw" >"$dir/signature"
    echo "— $origin $(base64 -w 0 "$dir/raw")" >>"$dir/note"
    { cmp -n 4 "$dir/raw" "$dir/$1.id" && openssl pkeyutl -verify -pubin -inkey "$dir/$1.pub" -rawin "${@:3}" \
        -in "$dir/text" -sigfile "$dir/signature"; } || bad "leaf $index: not signed by the $1"
}

# Parts number without gap, clocks do not go back (8); what seal leaves name is kept for later.
check_leaves() {
    while next_leaf; do
        [[ $mono_ns -ge ${clock[$boot]-0} ]] || bad "leaf $index: the clock went back" || return
        clock[$boot]=$mono_ns
        if [[ $kind == seal ]]; then
            [[ $named =~ $segment_name ]] || bad "leaf $index names no segment" || return
            sealed[$named]=$named_sha
        elif [[ $class == media ]]; then
            [[ $of == "$recording" && $part == "${next_part[$of]-$((seq ? part : 0))}" ]] ||
                bad "leaf $index: part $part of $of" || return
            next_part[$of]=$((part + 1))
        fi
    done <"$dir/leaves"
}

open_entries() {
    local out=$work/$recording.mp4 status=0
    [[ ! -f $dir/init.age || -f $out ]] || age -d -i "$key" "$dir/init.age" >"$out" || return 1
    while next_leaf; do
        age -d -i "$key" "$stem.age" >"$dir/plain" || status=1
        [[ $class != media ]] || cat "$dir/plain" >>"$out"
        [[ $class == media ]] || sha256sum --quiet -c - <<<"$plain_sha  $dir/plain" || status=1
    done <"$dir/leaves"
    return $status
}

check_segment() {
    name=$(basename "$file" .tar)
    echo "--    $name" | printable
    [[ $name =~ $segment_name ]] || fail "not the name of a segment" || return
    [[ ! ${given[$name]-} ]] || fail "given twice" || return
    given[$name]=$(sha256sum <"$file" | cut -c1-64)
    rm -rf "$dir" && mkdir "$dir"
    check "tar -t: plain members in their order" check_members || return
    check "tar -x, cmp: spelled anew it is the same archive, byte for byte" check_spelling || return
    check "segment.json is of this name" read_head || return
    check "every leaf can be read" read_leaves || return
    check "sha256sum -c: sealed bytes, chain and init are what the leaves name" check_digests
    if [[ $origin != "$last_origin" ]]; then
        [[ $first == 0 || $excerpt ]] || fail "leaf $first is the first given of this log: what was before is missing"
    elif [[ $first != "$last_end" ]]; then
        fail "leaf $first follows leaf $((last_end - 1)): a segment between them is missing, or one is given twice"
    else
        check "it continues the log of the segment before it" test "${frontier[*]}" = "${after[*]}"
    fi
    last_origin=$origin last_end=$end
    for json in "$dir"/[0-9]*.json; do printf '\0' | cat - "$json" >"${json%.json}.leaf"; done
    check "the tree of the log grows by $((end - first)) leaves" grow_tree || return
    check "openssl verify: session, camera, issuer, root" check_chain &&
        check "Merkle root of every leaf, and the signatures over it" check_notes
    check "parts without gap, clocks that do not go back" check_leaves
    [[ ! $key ]] || check "age -d: every entry opens, bodies are those their leaves name" open_entries
    held[$recording]=yes
}

# Segments log after log, by the index of their first leaf.
in_order() {
    for file in "${segments[@]}"; do
        IFS='|' read -r log index < <(tar -xOf "$file" --occurrence=1 segment.json | json .origin .first)
        printf '%s\t%010d\t%s\n' "$log" "$index" "$file"
    done 2>/dev/null | sort | cut -f3-
}

segment_name='^(r[0-9]{10}-[0-9a-f]{8}-[0-9]{4}|e[0-9]{10}-[0-9a-f]{8})$'
declare -A tree=() clock=() next_part=() sealed=() given=() held=()
frontier=() after=() last_origin='' last_end=''
((${#segments[@]} > 1)) || excerpt=alone
in_order >"$work/order"
while IFS= read -r file; do check_segment </dev/null; done <"$work/order"
((fails || ${#given[@]} == ${#segments[@]})) || fail "of ${#segments[@]} segments only ${#given[@]} were looked at"

echo "--    across segments"
for name in $(printf '%s\n' "${!sealed[@]}" | sort); do
    if [[ ${given[$name]-} ]]; then
        check "$name is the file its seal leaf names" test "${sealed[$name]}" = "${given[$name]}"
    elif [[ $excerpt == alone || ($excerpt && ! ${held[${name%-*}]-}) ]]; then
        echo "note  $name, which a seal leaf names, is not among the segments above"
    else
        fail "$name, which a seal leaf names, is missing"
    fi
done
for file in "$work"/r*.mp4; do
    [[ -f $file ]] || continue
    check "ffprobe: the parts of $(basename "$file" .mp4) play" ffprobe -v error -show_entries \
        stream=codec_type,codec_name,duration -of compact "$file" && sed 's/^/        /' "$work/said" | printable
    [[ ! $media ]] || cp "$file" "$media"
done

echo "note  whether leaves are missing after the last one, only a later checkpoint or receipt tells"
if ((fails)); then
    echo "DOES NOT VERIFY: $fails checks failed"
    exit 1
fi
echo "verified"
