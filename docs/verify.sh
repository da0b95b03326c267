#!/usr/bin/env bash
# Check segments of a body camera with stock tools alone: tar, sha256sum, age, openssl, ffprobe, coreutils and awk.
#
#   verify.sh SEGMENT.tar... --trust ROOT.pem [--key AGENCY.agekey] [--media OUT.mp4]
#
# docs/evidence-format.md says what is checked and why. One line a check; exit 0 where all hold, 1 where one fails,
# 2 for wrong usage or a missing tool. With --key every entry is opened too; with --media the recording's init and
# parts, as they were sealed, are kept in a file that plays.
set -uo pipefail
export LC_ALL=C

usage() {
    echo "usage: verify.sh SEGMENT.tar... --trust ROOT.pem [--key AGENCY.agekey] [--media OUT.mp4]" >&2
    echo "example: verify.sh station/segments/cam-0001/*.tar --trust trust/root.pem --key keys/agency.agekey" >&2
    exit 2
}

stop() {
    echo "error: $1" >&2
    exit 2
}

segments=() trust='' key='' media=''
while (($#)); do
    case $1 in
        --trust | --key | --media)
            (($# > 1)) || usage
            printf -v "${1#--}" %s "$2"
            shift
            ;;
        -*) usage ;;
        *) segments+=("$1") ;;
    esac
    shift
done
((${#segments[@]})) || usage
[[ $trust ]] || usage
for file in "${segments[@]}" "$trust" ${key:+"$key"}; do
    [[ -f $file && -r $file ]] || stop "$file: no such file, or not readable"
done
for tool in tar sha256sum openssl awk od base64 ${key:+age ffprobe}; do
    command -v "$tool" >/dev/null || stop "$tool is not installed"
done

work=$(mktemp -d) || stop "no temporary directory"
trap 'rm -rf "$work"' EXIT
fails=0

ok() { printf 'ok    %s\n' "$1"; }
fail() {
    printf 'FAIL  %s\n' "$1"
    fails=$((fails + 1))
}
# check TEXT COMMAND...: one line, by the command's status.
check() {
    local text=$1
    shift
    if "$@" >"$work/said" 2>&1; then ok "$text"; else
        fail "$text"
        head -n 5 "$work/said" | tr -c '[:print:]\n' '?' | sed 's/^/        /'
    fi
}

hex_of() { od -An -v -tx1 | tr -d ' \n'; }
unb64() { printf %s "$1" | base64 -d 2>/dev/null | hex_of; }
file_sha256() { sha256sum <"$1" | cut -c1-64; }

# escaped HEX: sets $bytes to the \xNN spelling that printf %b turns into bytes.
escaped() {
    local i
    bytes=
    for ((i = 0; i < ${#1}; i += 2)); do bytes+="\\x${1:i:2}"; done
}

# node LEFT RIGHT: sets $hash to SHA-256(0x01 || left || right), all hex (RFC 6962).
node() {
    escaped "01$1$2"
    hash=$(printf %b "$bytes" | sha256sum)
    hash=${hash:0:64}
}

leaf_hash() {
    hash=$({ printf '\0' && cat "$1"; } | sha256sum)
    hash=${hash:0:64}
}

# The log so far, as the roots of its perfect subtrees, largest first.
frontier=() size=0
append() {
    local n=$size
    hash=$1
    while ((n & 1)); do
        node "${frontier[-1]}" "$hash"
        unset 'frontier[-1]'
        n=$((n >> 1))
    done
    frontier+=("$hash")
    size=$((size + 1))
}
root() {
    local i
    hash=${frontier[-1]}
    for ((i = ${#frontier[@]} - 2; i >= 0; i--)); do node "${frontier[i]}" "$hash"; done
}

# -- reading JSON, as far as leaves and segment.json need it -------------------------------------------------------

# One line a leaf, fields split by '|': index class chain recording part init kind body camera, then the sealed bytes:
# sha256, header size, header sha256, payload size, payload sha256, then seal leaves' segment and sha256.
leaf_fields() {
    awk '
    function block(name,   at, i, depth, c) {   # cut the object "name":{...} out of the line and return it
        at = index(line, "\"" name "\":{")
        if (!at) return ""
        i = at + length(name) + 3
        for (depth = 0; i <= length(line); i++) {
            c = substr(line, i, 1)
            if (c == "{") depth++
            if (c == "}" && --depth == 0) break
        }
        c = substr(line, at, i - at + 1)
        line = substr(line, 1, at - 1) substr(line, i + 1)
        return c
    }
    function value(text, name,   found) {
        if (match(text, "\"" name "\":\"[^\"]*\"")) {
            found = substr(text, RSTART, RLENGTH)
            sub("^\"" name "\":\"", "", found); sub("\"$", "", found)
            return found
        }
        if (!match(text, "\"" name "\":[-0-9a-z]+")) return ""
        return substr(text, RSTART + length(name) + 3, RLENGTH - length(name) - 3)
    }
    {
        line = $0; gsub(/[ \t\r]/, "", line); gsub(/[|]/, "?", line)
        sealed = block("sealed"); facts = block("facts"); block("utc")
        top = line; line = sealed
        header = block("header"); payload = block("payload"); sealed = line
        print value(top, "index") "|" value(top, "class") "|" value(top, "chain") "|" value(top, "recording") "|" \
            value(top, "part") "|" value(top, "init") "|" value(top, "kind") "|" value(top, "body") "|" \
            value(top, "camera") "|" value(sealed, "sha256") "|" value(header, "size") "|" value(header, "sha256") "|" \
            value(payload, "size") "|" value(payload, "sha256") "|" value(facts, "segment") "|" value(facts, "sha256")
    }' "$@"
}

# segment_fields FILE: origin, camera, recording, seq, first, then the frontier in base64.
segment_fields() {
    awk '{
        pattern = "^[{]\"v\":1,\"origin\":\"[-a-zA-Z0-9./]+\",\"camera\":\"[-a-z0-9]+\","
        pattern = pattern "\"recording\":(\"r[0-9]+-[0-9a-f]+\"|null),"
        pattern = pattern "\"seq\":[0-9]+,\"first\":[0-9]+,\"frontier\":\\[[^]]*\\][}]$"
        if (!match($0, pattern)) exit 1
        line = $0; gsub(/[{}"\[\]]/, "", line); gsub(/(v|origin|camera|recording|seq|first|frontier):/, "", line)
        count = split(line, field, ",")
        for (i = 2; i <= count; i++) print field[i]
    }' "$1"
}

# -- one segment ---------------------------------------------------------------------------------------------------

# The archive lists exactly what a segment holds, in order, and the file ends where the last member and trailer do.
check_listing() {
    tar -tvf "$1" --numeric-owner 2>/dev/null | awk -v bytes="$(wc -c <"$1")" -v media="$2" '
        BEGIN { want = media ? "init.age" : "segment.json"; total = 1024 }
        {
            name = $NF; size = $3
            if ($1 != "-rw-r--r--" || $2 != "0/0") { print name ": not a plain member"; bad = 1 }
            total += 512 + int((size + 511) / 512) * 512
            if (want == "" && name ~ /^[0-9]+\.age$/) want = name
            if (name != want) { print "\"" name "\" stands where \"" want "\" belongs"; bad = 1; exit }
            if (name == "init.age") want = "segment.json"
            else if (name == "segment.json") want = "chain.pem"
            else if (name == "chain.pem") want = ""
            else {
                number = substr(name, 1, 10); kind = substr(name, 12)
                if (kind == "age") want = number ".json"
                else if (kind == "json") want = number ".note"
                else { want = sprintf("%010d.age", number + 1); whole = 1 }
            }
            if (want !~ /\.age$/ && want != "" ) whole = 0
        }
        END {
            if (!bad && !whole) { print "it ends inside an entry"; bad = 1 }
            if (!bad && total != bytes) { print bytes " bytes, where members and trailer make " total; bad = 1 }
            exit bad
        }'
}

check_digests() { (cd "$dir" && sha256sum --quiet -c digests); }

check_halves() {
    local index hsize hsha psize psha file bad=0
    while IFS='|' read -r index hsize hsha psize psha; do
        file=$dir/$(printf %010d "$index").age
        if [[ $(head -c "$hsize" "$file" | sha256sum | cut -c1-64) != "$hsha" ||
            $(tail -c +"$((hsize + 1))" "$file" | sha256sum | cut -c1-64) != "$psha" ||
            $(wc -c <"$file") -ne $((hsize + psize)) ||
            $(head -c "$hsize" "$file" | tail -n 1 | cut -c1-4) != "--- " ]]; then
            echo "$index.age: header or payload is not what its leaf says"
            bad=1
        fi
    done < <(cut -d'|' -f1,11-14 "$dir/leaves")
    return $bad
}

subject_is() { # DEPTH NAME-PATTERN ROLE
    openssl x509 -in "$dir/cert$1.pem" -noout -subject -nameopt RFC2253 | grep -qx "subject=CN=$2,OU=$3" ||
        { echo "certificate $1 of the chain is not a $3"; return 1; }
}

# session < identity < issuing < root, each in its role; dates are not checked (format page, section 6).
check_chain() {
    awk -v dir="$dir" '/BEGIN CERT/ { n++ } { print > (dir "/cert" n ".pem") } END { exit n != 3 }' \
        "$dir/chain.pem" || return 1
    cat "$dir/cert2.pem" "$dir/cert3.pem" >"$dir/between.pem"
    openssl verify -no_check_time -CAfile "$trust" -untrusted "$dir/between.pem" "$dir/cert1.pem" || return 1
    subject_is 1 "$camera [-0-9a-f]*" "bodycam camera session" || return 1
    subject_is 2 "$camera" "bodycam camera identity" || return 1
    subject_is 3 "[^,]*" "bodycam issuing" || return 1
    openssl x509 -in "$dir/cert1.pem" -noout -pubkey >"$dir/session.pub" &&
        openssl x509 -in "$dir/cert2.pem" -noout -pubkey >"$dir/identity.pub"
}

# check_note NOTE ROOT SIZE KIND: text, session signature, identity signature where there is one or must be one.
check_note() {
    local text=$dir/text lines count=0 dash name value id identity=
    printf '%s\n%s\n%s\n' "$origin" "$3" "$(printf %b "$2" | base64)" >"$text"
    lines=$(wc -l <"$1")
    if ! cmp -s "$text" <(head -n 3 "$1") || [[ -n $(sed -n 4p "$1") ]] || ((lines < 5 || lines > 6)); then
        echo "$(basename "$1"): not the checkpoint of the leaves up to here"
        return 1
    fi
    while read -r dash name value; do
        count=$((count + 1))
        printf %s "$value" | base64 -d >"$dir/raw" 2>/dev/null
        id=$(head -c 4 "$dir/raw" | hex_of)
        tail -c +5 "$dir/raw" >"$dir/signature"
        [[ $dash == — && $name == "$origin" ]] || return 1
        if ((count == 1)); then
            if [[ $id != "$session_id" ]] || ! openssl pkeyutl -verify -pubin -inkey "$dir/session.pub" -rawin \
                -in "$text" -sigfile "$dir/signature"; then
                echo "$(basename "$1"): session signature"
                return 1
            fi
        else
            identity=yes
            if [[ $id != "$identity_id" ]] || ! openssl dgst -sha256 -verify "$dir/identity.pub" \
                -signature "$dir/signature" "$text"; then
                echo "$(basename "$1"): identity signature"
                return 1
            fi
        fi
    done < <(tail -n +5 "$1")
    case $4 in
        session | start | stop | shutdown)
            [[ $identity ]] || echo "$(basename "$1"): no identity signature"
            [[ $identity ]]
            ;;
    esac
}

# Every leaf into the tree, every root against its checkpoint.
check_log() {
    local index kind bad=0 stem
    openssl pkey -pubin -in "$dir/session.pub" -outform DER | tail -c 32 >"$dir/session.raw"
    session_id=$({ printf '%s\n\1' "$origin" && cat "$dir/session.raw"; } | sha256sum | cut -c1-8)
    identity_id=$(openssl pkey -pubin -in "$dir/identity.pub" -outform DER | sha256sum | cut -c1-8)
    while IFS='|' read -r index kind; do
        stem=$dir/$(printf %010d "$size")
        if [[ $index != "$size" || ! -f $stem.json ]]; then
            echo "leaf $index stands where leaf $size belongs"
            return 1
        fi
        leaf_hash "$stem.json"
        append "$hash"
        root
        escaped "$hash"
        check_note "$stem.note" "$bytes" "$size" "$kind" || bad=1
    done < <(cut -d'|' -f1,7 "$dir/leaves")
    return $bad
}

# Media leaves of one recording, parts numbered without gap.
check_parts() {
    local index class recording part of
    while IFS='|' read -r index class recording part of; do
        [[ $of == "$camera" ]] || { echo "leaf $index is of another camera"; return 1; }
        [[ $class == media ]] || continue
        if [[ $recording != "$said_recording" || $part != "${next_part[$recording]-$part}" ]]; then
            echo "leaf $index: part $part of $recording"
            return 1
        fi
        next_part[$recording]=$((part + 1))
    done < <(cut -d'|' -f1,2,4,5,9 "$dir/leaves")
}

open_entries() {
    local index class body stem bad=0
    if [[ -f $dir/init.age && ! ${begun[$said_recording]+set} ]]; then
        age -d -i "$key" "$dir/init.age" >"$work/$said_recording.mp4" </dev/null || return 1
        begun[$said_recording]=yes
    fi
    while IFS='|' read -r index class body; do
        stem=$dir/$(printf %010d "$index")
        if ! age -d -i "$key" "$stem.age" >"$dir/plain" </dev/null; then
            echo "$index.age"
            bad=1
        elif [[ $class == media ]]; then
            cat "$dir/plain" >>"$work/$said_recording.mp4"
        elif [[ $(file_sha256 "$dir/plain") != "$body" ]]; then
            echo "$index.age: not the body its leaf names"
            bad=1
        fi
    done < <(cut -d'|' -f1,2,8 "$dir/leaves")
    return $bad
}

check_continues() { # the log before this segment is the one that the segment before it left
    [[ ${#frontier[@]} -eq ${#said_frontier[@]} ]] || return 1
    local i
    for i in "${!frontier[@]}"; do [[ ${frontier[i]} == "${said_frontier[i]}" ]] || return 1; done
}

# Unpack and read the head; sets origin, camera, said_* and $dir/leaves. Nothing is unpacked but plain members.
unpack() {
    local file=$1 fields node listing=$fails
    check "tar: plain members in their order, nothing between, nothing after" \
        check_listing "$file" "$([[ $name == r* ]] && echo 1)"
    ((fails == listing)) || return 1
    check "tar -x" tar -xf "$file" -C "$dir" --no-same-owner --no-same-permissions
    ((fails == listing)) || return 1
    if ! fields=$(segment_fields "$dir/segment.json"); then
        fail "segment.json is not a segment header"
        return 1
    fi
    { read -r origin; read -r camera; read -r said_recording; read -r said_seq; read -r said_first; } <<<"$fields"
    said_frontier=()
    while read -r node; do [[ ! $node ]] || said_frontier+=("$(unb64 "$node")"); done < <(tail -n +6 <<<"$fields")
    leaf_fields "$dir"/[0-9]*.json >"$dir/leaves"
    if ! awk -F'|' '$1 !~ /^[0-9]+$/ || $11 !~ /^[0-9]+$/ || $13 !~ /^[0-9]+$/ { exit 1 }' "$dir/leaves"; then
        fail "a leaf cannot be read"
        return 1
    fi
    awk -F'|' '{ printf "%s  %010d.age\n%s  chain.pem\n", $10, $1, $3; if ($6) print $6 "  init.age" }' \
        "$dir/leaves" | sort -u >"$dir/digests"
}

check_segment() {
    local file=$1 own before_chain
    name=$(basename "$file" .tar)
    echo "--    $name" | tr -c '[:print:]\n' '?'
    dir=$work/$name
    if ! [[ $name =~ ^(r[0-9]{10}-[0-9a-f]{8}-[0-9]{4}|e[0-9]{10}-[0-9a-f]{8})$ ]]; then
        fail "not the name of a segment"
        return
    fi
    mkdir "$dir" 2>/dev/null || { fail "given twice"; return; }
    unpack "$file" || return
    own=$(printf 'e%010d%s' "$said_first" "${name:11}")
    [[ $said_recording == null ]] || own=$said_recording-$(printf %04d "$said_seq")
    check "its name is that of its content" test "$name" = "$own"
    check "sha256sum -c: sealed bytes, chain and init are what the leaves name" check_digests
    check "age header and payload apart are what the leaves name" check_halves
    if [[ $origin == "$last_origin" ]]; then
        if [[ $said_first == "$size" ]]; then
            check "it continues the log of the segment before it" check_continues
        else
            fail "leaf $said_first follows leaf $((size - 1)): a segment between them is missing, or one is given twice"
        fi
    fi
    last_origin=$origin size=$said_first frontier=(${said_frontier[@]+"${said_frontier[@]}"})
    before_chain=$fails
    check "openssl verify: session, camera, issuer, root" check_chain
    if ((fails == before_chain)); then
        check "Merkle roots of all $(wc -l <"$dir/leaves") leaves, and the signatures over them" check_log
    fi
    # Where the next segment has to begin, whatever went wrong above.
    size=$((said_first + $(wc -l <"$dir/leaves")))
    check "one camera; parts without gap" check_parts
    [[ ! $key ]] || check "age -d: every entry opens, bodies are those their leaves name" open_entries
    awk -F'|' '$7 == "seal" { gsub(/[^-0-9a-z]/, "?", $15); print $15 "|" $16 }' "$dir/leaves" >>"$work/seals"
    printf '%s|%s\n' "$name" "$(file_sha256 "$file")" >>"$work/files"
    find "$dir" -type f -delete
}

# Segments log after log, by the index of their first leaf.
in_order() {
    local file first log
    for file in "${segments[@]}"; do
        first=$(tar -tf "$file" 2>/dev/null | grep -E -m 1 '^[0-9]{10}\.age$' | cut -c1-10)
        log=$(tar -xOf "$file" segment.json 2>/dev/null | segment_fields /dev/stdin 2>/dev/null | head -n 1)
        printf '%s\t%s\t%s\n' "$log" "${first:-9999999999}" "$file"
    done | sort | cut -f3-
}

declare -A next_part=() begun=()
name='' dir='' origin='' camera='' said_recording='' said_seq='' said_first='' said_frontier=()
last_origin='' session_id='' identity_id=''
touch "$work/seals" "$work/files"
while IFS= read -r file; do check_segment "$file" </dev/null; done < <(in_order)

echo "--    across segments"
while IFS='|' read -r name digest; do
    sealed=$(awk -F'|' -v name="$name" '$1 == name { print $2 }' "$work/seals" | tail -n 1)
    if [[ $sealed ]]; then
        check "$name is the file its seal leaf names" test "$sealed" = "$digest"
    fi
done <"$work/files"
while IFS='|' read -r name digest; do
    if ! cut -d'|' -f1 "$work/files" | grep -Fqx -- "$name"; then
        printf 'note  %s, which a seal leaf names, is not among the segments above\n' "$name"
    fi
done <"$work/seals"

for recording in ${begun[@]+"${!begun[@]}"}; do
    check "ffprobe: the parts of $recording play" ffprobe -v error -show_entries \
        stream=codec_type,codec_name,duration -of compact "$work/$recording.mp4"
    if [[ -s $work/said ]]; then tr -c '[:print:]\n' '?' <"$work/said" | sed 's/^/        /'; fi
    [[ ! $media ]] || cp "$work/$recording.mp4" "$media"
done

echo "note  whether leaves are missing after the last one, only a later checkpoint or receipt tells"
if ((fails)); then
    echo "DOES NOT VERIFY: $fails checks failed"
    exit 1
fi
echo "verified"
