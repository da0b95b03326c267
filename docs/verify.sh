#!/usr/bin/env bash
# Check segments of a body camera, or exports (NAME.proof.tar), with stock tools alone: tar, openssl, age,
# ffprobe, awk, sed, grep, and Debian's coreutils (sha256sum), diffutils and findutils (xargs).
#
#   verify.sh SEGMENT.tar... [NOTE.purge...] [HEAD.vouched...] --trust ROOT.pem [--excerpt] [--key AGENCY.agekey] [--media OUT.mp4]
#   verify.sh NAME.proof.tar --trust ROOT.pem [--tsa TSA.pem] [--key AGENCY.agekey] [--media OUT.mp4]
#
# docs/evidence-format.md says what is checked and why; a number like (5) is its section. One line a check; exit 0 where
# all hold, 1 where one fails, 2 for wrong usage or a missing tool. Every segment of a log belongs here. --excerpt says
# that these are some of them, from an export: each recording must be whole, the log before it need not be there. With
# --key every entry is opened too; with --media a recording's init and parts are kept as they were sealed, to be played.
# With --tsa, the root certificate of a timestamp authority, a range's timestamp is checked too. A file in a directory
# open/ may still be written to: it is passed over, and said. What a station's purge notes explain, also those in an
# export, is told as purged, and the heads that it kept beside them vouch for what leads to them (7).
#
# Not looked at, where bodycam-evidence looks: receipts, so that what a card no longer has is missing, also of an export
# that says who has it (elsewhere/), and also where one contradicts a purge note; later heads, checkpoints of logs beside
# their tiles, revocations; facts of session, delivery, deletion, kept and recovery leaves beyond how a recording ends;
# size, first and entries of seal leaves, but of what was purged; whether a session says what was cut before it; utc as a
# date of the calendar; boottime; one timeline and init over all parts; how deep JSON is; how certificates in PEM,
# report.json and age headers are spelled; an export's MP4; of several segments, which of them the identity vouches for
# where it need not.
set -uo pipefail
export LC_ALL=C

stop() {
    printf '%s\n' "$@" >&2
    exit 2
}
usage() {
    stop "usage: verify.sh SEGMENT.tar... [NOTE.purge...] [HEAD.vouched...] --trust ROOT.pem [--excerpt] [--key AGENCY.agekey] [--media OUT.mp4]" \
        "       verify.sh NAME.proof.tar --trust ROOT.pem [--tsa TSA.pem] [--key AGENCY.agekey] [--media OUT.mp4]" \
        "example: verify.sh station/segments/cam-0001/*.tar --trust trust/root.pem --key keys/agency.agekey"
}

segments=() ranges=() notes=() kept=() trust='' key='' media='' excerpt='' tsa=''
while (($#)); do
    case $1 in
        --trust | --key | --media | --tsa) (($# > 1)) || usage && printf -v "${1#--}" %s "$2" && shift ;;
        --excerpt) excerpt=yes ;;
        -*) usage ;;
        *.purge) notes+=("$1") ;;
        *.vouched) kept+=("$1") ;;
        *) segments+=("$1") ;;
    esac
    shift
done
[[ ${segments[*]-} && $trust ]] || usage
for file in "${segments[@]}" ${notes[@]+"${notes[@]}"} ${kept[@]+"${kept[@]}"} "$trust" ${key:+"$key"} ${tsa:+"$tsa"}; do
    [[ -f $file && -r $file ]] || stop "error: $file: no such file, or not readable"
done
for tool in tar sha256sum openssl awk sed grep xargs base64 cmp diff ${key:+age ffprobe}; do
    command -v "$tool" >/dev/null || stop "error: $tool is not installed"
done
work=$(mktemp -d) || stop "error: no temporary directory"
trap 'rm -rf "$work"' EXIT
dir=$work/segment fails=0 chain_of=''

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
# .index or .sealed.header.size; an array is "[" and its values. Fails where a line is no such object. With $loose numbers
# may have a fraction, which leaves never have.
json() {
    awk -v fields="$*" -v loose="${loose-}" '
    function token(   t) {
        if (!(loose && match(text, /^[ \t\r]*[-+0-9.eE]+/)) &&
            !match(text, /^[ \t\r]*("([^"\\]|\\.)*"|[-0-9a-z]+|[{}:,]|\[|\])/)) exit bad = 1
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
hashes() { mapfile -t hash < <(sha256sum -- "$@" | sed -E 's/^(.{64}).*/\1/; s/../\\x&/g'); }

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
    seq "$first" "$((end - 1))" >"$dir/indexes"
    {
        [[ $name == e* ]] || echo init.age
        printf '%s\n' segment.json chain.pem
        seq -f '%010.0f' "$first" "$((end - 1))" | sed 's/.*/&.age\n&.json\n&.note/'
    } | diff - "$dir/members"
}

# Spelled as the format page says, the files make the same archive: no byte of it is anything else (5). Not every tar
# fills the device numbers of a header alike, so the headers are made here.
check_spelling() {
    local size member block fill='' pieces=()
    tar -xf "$file" -C "$box" --no-same-owner --no-same-permissions || return 1
    rm -rf "$work/blocks" && mkdir "$work/blocks" || return 1
    while read -r _ _ size _ _ member; do
        block=$work/blocks/${#pieces[@]}
        { printf %b "$fill" && ustar_header "$member" "$size"; } >"$block" || return 1
        fill=${nul:0:5*(-size & 511)} pieces+=("$block" "$box/$member")
    done <"$dir/modes"
    printf %b "$fill$nul$nul" >"$work/blocks/end"
    printf '%s\0' "${pieces[@]}" "$work/blocks/end" | xargs -0 cat -- | cmp - "$file"
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
for char in {A..Z} {a..z} {0..9} . - _ /; do printf -v "code[$char]" %d "'$char"; done

# segment.json in its one spelling (5). Its frontier is the tree of the leaves before this segment.
read_head() {
    local nodes node said quoted='' own
    said=$(json .origin .camera .recording .seq .frontier <"$dir/segment.json") || return 1
    IFS='|' read -r origin camera recording seq nodes <<<"$said"
    [[ $camera =~ ^[-a-z0-9]{1,27}$ && $origin =~ ^[-.a-zA-Z0-9]+/$camera/[1-9][0-9]*$ &&
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
    local hex='[0-9a-f]{64}' number='(0|[1-9][0-9]{0,17})' utc
    cat "$dir"/[0-9]*.json | json .index .class .kind .camera .boot .mono_ns .chain .sealed.sha256 .sealed.header.size \
        .sealed.header.sha256 .sealed.payload.size .sealed.payload.sha256 .body .recording .part .init \
        .recipients .utc.time .utc.source .utc.bound_ms .idr .duration_ns .facts.segment .facts.sha256 .facts.parts .facts.epoch.reason \
        .facts.epoch.follows.origin .facts.epoch.follows.size .facts.epoch.follows.root .facts.counter .facts.interrupted \
        .facts.size .facts.first .facts.entries >"$dir/leaves" || return 1
    local form="$number/(media|event)/[a-z]*/$camera/[-0-9a-f]{36}/$number/$hex/$hex/$number/$hex/$number/$hex"
    utc='(null/none|[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}[.][0-9]{6}Z/(synchronised|unverified))'
    form+="/($hex)?/[-0-9a-z]*/$number?/($hex)?/$hex/$utc/(null|$number)/(true|false)?/$number?/.*"
    ! grep -Evx "${form//\//[|]}" "$dir/leaves" &&
        cut -d'|' -f1 "$dir/leaves" | diff - "$dir/indexes"
}
next_leaf() {
    IFS='|' read -r index class kind _ boot mono_ns chain sha head_size head_sha _ body_sha plain_sha of part \
        init _ _ _ _ _ _ named named_sha said_parts why old old_size old_root counter cut named_size named_first named_entries || return
    [[ $class == event ]] || kind='' why='' counter='' # a part's leaf has none of them, whatever it says
    [[ $kind == session || $kind == start ]] || counter=''
    printf -v stem '%s/%010d' "$dir" "$index"
}

# Every digest that a leaf names, and that the age header ends where it says.
check_digests() {
    while next_leaf; do
        head -c "$head_size" "$stem.age" >"$stem.head" && tail -c "+$((head_size + 1))" "$stem.age" >"$stem.body"
        printf '%s  %s\n' "$sha" "$stem.age" "$head_sha" "$stem.head" "$body_sha" "$stem.body" "$chain" \
            "$dir/chain${one_chain-"s/$chain"}.pem"
        [[ ! $init ]] || printf '%s  %s\n' "$init" "$dir/init.age"
    done <"$dir/leaves" | sort -u >"$dir/digests"
    sha256sum --strict --quiet -c "$dir/digests" &&
        cut -d'|' -f11 "$dir/leaves" | diff - <(stat -c %s "$dir"/*.body) &&
        [[ $(tail -qn 1 "$dir"/*.head | grep -c '^--- ') == "$(wc -l <"$dir/leaves")" ]]
}

# CERTIFICATE: sets $subject, $public_pem, and $public_der in base64.
subject_and_key() {
    local said line
    said=$(openssl x509 -in "$1" -noout -subject -nameopt RFC2253 -pubkey) || return 1
    subject='' public_der=''
    while IFS= read -r line; do
        case $line in
            subject=*) subject=${line#subject=} ;;
            -*) ;;
            *) public_der+=$line ;;
        esac
    done <<<"$said"
    public_pem=-----BEGIN${said#*-----BEGIN}
}

# Session below identity below issuing below root, each in its role (6); dates are not checked, as that section says.
# The segments of one session have one chain: what was found of it is kept in $work/chain.
check_chain() {
    local depth found boot roles=("" "CN=$camera [-0-9a-f]*,OU=bodycam camera session" "CN=$camera,OU=bodycam camera identity"
        "CN=[^,]*,OU=bodycam issuing")
    if [[ $chain_of == "$camera $origin" ]] && cmp -s "$work/chain/chain.pem" "$dir/chain.pem"; then
        cp "$work"/chain/* "$dir"
        return
    fi
    awk -v cert="$dir/cert" '/BEGIN CERT/ { n++ } { print > (cert n) } END { exit n != 3 }' "$dir/chain.pem" &&
        cat "$dir/cert2" "$dir/cert3" >"$dir/between" &&
        openssl verify -no_check_time -CAfile "$trust" -untrusted "$dir/between" "$dir/cert1" || return 1
    for depth in 1 2 3; do
        subject_and_key "$dir/cert$depth" && [[ $subject =~ ^${roles[depth]}$ ]] ||
            bad "certificate $depth is not of ${roles[depth]}" || return
        if ((depth == 1)); then
            boot=${subject#CN=* }
            echo "${boot%%,*}" >"$dir/boot"
            echo "$public_pem" >"$dir/session.pub"
            { printf '%s\n\1' "$origin" && base64 -d <<<"$public_der" | tail -c 32; } |
                openssl dgst -sha256 -binary >"$dir/session.id" || return 1
        elif ((depth == 2)); then
            echo "$public_pem" >"$dir/identity.pub"
            base64 -d <<<"$public_der" | openssl dgst -sha256 -binary >"$dir/identity.id" || return 1
        fi
    done
    chain_of='' found=("$dir"/{boot,chain.pem,cert{1,2,3},{session,identity}.{pub,id}})
    mkdir -p "$work/chain" && cp "${found[@]}" "$work/chain" && chain_of="$camera $origin"
    boot=$(sha256sum <"$dir/chain.pem" | cut -c1-64) && mkdir -p "$work/by/${origin//\//_}" || return 1
    for depth in {session,identity}.{pub,id}; do cp "$dir/$depth" "$work/by/${origin//\//_}/$boot.$depth"; done
}

# Each checkpoint (2): the root of the leaves up to it, signed by the session and maybe the identity. $waits are the leaves so
# far that must have the identity's signature and lack it; a later one vouches for them: then they are in $silent.
check_notes() {
    local lines root n roots status=0
    # 32 bytes and a zero are 44 characters without padding, so that one base64 spells all roots.
    mapfile -t roots < <(for ((n = first + 1; n <= end; n++)); do printf '%b\0' "${tree[root.$n]}"; done | base64 -w 44)
    roots=("${roots[@]/%A/=}")
    while next_leaf; do
        root=${roots[index - first]}
        root_at[$origin $((index + 1))]=$root
        printf '%s\n' "$origin" "$((index + 1))" "$root" >"$dir/text"
        printf '%s\n' "$origin" "$((index + 1))" "$root" '' >"$dir/note"
        mapfile -t -s 4 lines <"$stem.note" 2>/dev/null
        if ! { signed_by session "${lines[0]-}" &&
            { [[ ! ${lines[1]-} ]] || { signed_by identity "${lines[1]-}" -digest sha256 && low_s; }; } &&
            cmp "$dir/note" "$stem.note"; }; then
            status=1
        elif [[ ${lines[1]-} ]]; then
            word=yes
            silent+=(${waits[@]+"${waits[@]}"}) waits=()
        elif [[ $kind =~ ^(session|start|stop|recovery|shutdown)$ ]]; then
            waits+=("$origin $index $name")
        fi
    done <"$dir/leaves"
    return $status
}
# What base64 -w 0 writes: whole groups, and no bit set that stands for nothing.
base64_of_bytes='([A-Za-z0-9+/]{4})*([A-Za-z0-9+/][AQgw]==|[A-Za-z0-9+/]{2}[AEIMQUYcgkosw048]=)?'
signed_by() { # WHO LINE OPTION...: writes the line to $dir/note as it must be
    [[ ${2##* } =~ ^$base64_of_bytes$ ]] || bad "${index:+leaf $index: }a signature that is not base64 in its one spelling" || return
    base64 -d <<<"${2##* }" >"$dir/raw"
    tail -c +5 "$dir/raw" >"$dir/signature"
    echo "— $origin ${2##* }" >>"$dir/note"
    { cmp -n 4 "$dir/raw" "$dir/$1.id" && openssl pkeyutl -verify -pubin -inkey "$dir/$1.pub" -rawin "${@:3}" \
        -in "$dir/text" -sigfile "$dir/signature"; } || bad "${index:+leaf $index: }not signed by the $1"
}

low_s() { # of the two forms of an ECDSA signature the one whose second number is at most half the group's order (2)
    local half=7FFFFFFF800000007FFFFFFFFFFFFFFFDE737D56D38BCF4279DCE5617E3192A8 s
    s=$(od -An -v -tx1 "$dir/signature" | tr -d ' \n') # its two numbers, in DER, which openssl has read
    s=${s:12+2*0x${s:6:2}}
    printf -v s '%64s' "${s#00}"
    s=${s// /0}
    [[ ${#s} == 64 && ! ${s^^} > $half ]] || bad "${index:+leaf $index: }the identity's signature is not in its one spelling"
}

# What leaves that follow one another must say (3, 8): what hardware counts goes up by one, a session ends with its shutdown,
# and the leaves of a recording come in their order.
check_order() {
    if [[ $index != "${unbroken[$origin]-}" ]]; then # what stood before this leaf is not known
        whole_from[$origin]=$index counted[$origin]='' writer[$origin]='' next_part=()
        [[ $seq != 0 || $recording == null ]] || next_part[$recording]=0
    fi
    unbroken[$origin]=$((index + 1))
    check_counter || bad "leaf $index: the hardware counter does not go up by one" || return
    [[ $kind == session || ! ${writer[$origin]} || ${writer[$origin]} == "$chain" ]] ||
        bad "leaf $index is of a session that no leaf opened, or that is over" || return
    writer[$origin]=$chain
    [[ $kind != shutdown ]] || writer[$origin]=over
    [[ $class == media || $kind =~ ^(start|stop)$ || ($kind == recovery && $cut == true) ]] || return 0
    [[ $of =~ ^r[0-9]{10}-[0-9a-f]{8}$ ]] || bad "leaf $index names no recording" || return
    if [[ $kind == start ]]; then
        ((10#${of:1:10} == index)) || bad "leaf $index: the recording $of is not named after its start" || return
        began[$of]=$chain next_part[$of]=0
        return
    fi
    [[ ${began[$of]-} ]] || ((10#${of:1:10} < whole_from[$origin])) ||
        bad "leaf $index is of a recording that never started" || return
    began[$of]=${began[$of]-$chain}
    [[ ! ${ended[$of]-} ]] || bad "leaf $index comes after the end of its recording" || return
    [[ $kind == recovery || ${began[$of]} == "$chain" ]] || bad "leaf $index: another session goes on with the recording" || return
    if [[ $class == media ]]; then
        [[ $part && $part == "${next_part[$of]-$part}" ]] || bad "leaf $index: part $part of $of" || return
        next_part[$of]=$((part + 1))
    else
        [[ $said_parts && $said_parts == "${next_part[$of]-$said_parts}" ]] ||
            bad "leaf $index: the recording ends with $said_parts parts, there are ${next_part[$of]}" || return
        ended[$of]=yes
    fi
}
check_counter() {
    [[ $counter ]] || return 0
    [[ $counter =~ ^[1-9][0-9]{0,18}$ && ( ! ${counted[$origin]} || $counter == $((counted[$origin] + 1)) ) ]] &&
        counted[$origin]=$counter
}

# Clocks do not go back, leaves come in their order (8); what seal leaves name is kept for later.
check_leaves() {
    while next_leaf; do
        [[ $boot == "$(<"$dir/boot")" ]] || bad "leaf $index: of another boot than its session" || return
        [[ $mono_ns -ge ${clock[$boot]-0} ]] || bad "leaf $index: the clock went back" || return
        clock[$boot]=$mono_ns
        check_order || return
        [[ $kind != start ]] || starts=yes recording_open=$of start_seen[$of]=yes wanted[$of]=${wanted[$of]-$leads}
        [[ $kind != stop && ! ($kind == recovery && $of == "${recording_open-}") ]] || recording_open=''
        if [[ $kind == seal ]]; then
            [[ $named =~ $segment_name ]] || bad "leaf $index names no segment" || return
            sealed[$named]=$named_sha said_of[$named]="$named_sha $named_size $named_first $named_entries"
        elif [[ $class == media ]]; then
            [[ $of == "$recording" ]] || bad "leaf $index: part $part of $of" || return
            [[ $excerpt != yes || ${start_seen[$of]-} ]] || bad "the segment with the start of $of is not given" || return
        fi
    done <"$dir/leaves"
}

# The first leaf of a later epoch names the log before it, and how long that was (2); no other leaf does.
check_epoch() {
    local number=${origin##*/} log=${origin%/*} form
    form="^(damaged|behind) $log/([1-9][0-9]{0,5}) (0|[1-9][0-9]{0,17}) [A-Za-z0-9+/]{43}=\$"
    while next_leaf; do
        if ((index || number == 1)); then
            [[ ! $why ]] || bad "leaf $index says that it begins a later epoch" || return
        elif [[ $kind == session && "$why $old $old_size $old_root" =~ $form ]] && ((BASH_REMATCH[2] < number)); then
            follows[$origin]="$old $old_size $old_root"
        else
            bad "leaf 0 does not say which log this one follows, and why" || return
        fi
    done <"$dir/leaves"
}

open_entries() {
    local out=$work/${range:-$recording}.mp4 status=0
    [[ ! -f $dir/init.age || -f $out ]] || { open_sealed "$dir/init" && cp "$dir/plain" "$out"; } || return 1
    while next_leaf; do
        open_sealed "$stem" || status=1
        [[ $class != media ]] || cat "$dir/plain" >>"$out"
        [[ $class == media ]] || sha256sum --quiet -c - <<<"$plain_sha  $dir/plain" || status=1
    done <"$dir/leaves"
    return $status
}

# STEM: by the header it was rewrapped with or, for a holder of the agency's key, by the camera's (9).
open_sealed() {
    [[ -f $1.new ]] && age -d -i "$key" "$1.new" >"$dir/plain" && return
    age -d -i "$key" "$1.age" >"$dir/plain"
}

check_segment() {
    name=$(basename "$file" .tar) range=''
    echo "--    $name" | printable
    [[ $name =~ $segment_name ]] || fail "not the name of a segment" || return
    [[ ! ${given[$name]-} ]] || fail "given twice" || return
    local leads='' starts='' number joined=$begun # of an export that began before, and goes on, segments lie on both sides
    for number in ${inside[$name.tar]-}; do
        [[ ${seen[number]-} ]] || seen[number]=yes begun=$((begun + 1))
        [[ ${claimed[number]-} ]] || leads=yes
        ((--rest[number])) || begun=$((begun - 1))
    done
    [[ $file == "$work/inside/"* ]] || leads=yes
    given[$name]=$(sha256sum <"$file" | cut -c1-64)
    rm -rf "$dir" && mkdir "$dir" && box=$dir one_chain=''
    check "tar -t: plain members in their order" check_members || return
    check "tar -x, cmp: spelled anew it is the same archive, byte for byte" check_spelling || return
    check "segment.json is of this name" read_head || return
    [[ ! $leads || $recording == null ]] || wanted[$recording]=yes
    check "every leaf can be read" read_leaves || return
    check "sha256sum -c: sealed bytes, chain and init are what the leaves name" check_digests
    if [[ $origin != "$last_origin" ]]; then
        [[ $first == 0 || $excerpt ]] || fail "leaf $first is the first given of this log: what was before is missing"
    elif [[ $excerpt == yes && $first -gt $last_end && $name == e* ]] && ! goes_on; then
        echo "note  leaves $last_end to $((first - 1)), between recordings, are not among the segments given"
        recording_open=''
    elif [[ $first != "$last_end" ]] && purged_between "$last_end" "$first"; then
        recording_open=''
    elif [[ $first != "$last_end" ]]; then
        fail "leaf $first follows leaf $((last_end - 1)): a segment between them is missing, or one is given twice"
    else
        check "it continues the log of the segment before it" test "${frontier[*]}" = "${after[*]}"
    fi
    if [[ $origin != "$last_origin" || $first != "$last_end" ]]; then
        lacking+=(${waits[@]+"${waits[@]/%/ $last_end}"}) waits=() # what follows is not known to continue them
    fi
    [[ $origin == "$last_origin" ]] || recording_open=''
    last_origin=$origin last_end=$end
    for json in "$dir"/[0-9]*.json; do printf '\0' | cat - "$json" >"${json%.json}.leaf"; done
    check "the tree of the log grows by $((end - first)) leaves" grow_tree || return
    local word=''
    check "openssl verify: session, camera, issuer, root" check_chain &&
        check "Merkle root of every leaf, and the signatures over it" check_notes &&
        [[ $excerpt == alone && ! $word ]] &&
        echo "note  it stands alone, and the identity signed no checkpoint in it: its session's key alone speaks for it"
    tell_silent
    check "parts without gap, clocks that do not go back" check_leaves
    for number in ${inside[$name.tar]-}; do [[ $recording == null && ! $starts ]] || claimed[number]=yes; done
    check "what it says of an earlier epoch is in its place" check_epoch
    end_of[$origin]=$end
    [[ ! $key ]] || check "age -d: every entry opens, bodies are those their leaves name" open_entries
}

# Whether the recording that began last is to be whole: an export is of that which begins in the first of its segments in
# which one does, and may have the beginning of the next one in its last (9).
goes_on() { [[ ${recording_open-} && ( $joined != 0 || ${wanted[$recording_open]-} ) ]]; }

# The identity's key was asked to sign for these leaves, and did so only later (2).
tell_silent() {
    local one log index segment
    for one in ${silent[@]+"${silent[@]}"}; do
        read -r log index segment <<<"$one"
        echo "note  leaf $index of $segment: without the identity's signature, which a later checkpoint of $log has" | printable
    done
    silent=()
}

# -- what a station purged, by its signed notes, and the heads that it kept (7) ------------------------------------

# The receipt key's signature over the text of the note, in its one spelling, and what it says: gone[LOG FIRST] is one segment.
check_purge() {
    local lines of number='(0|[1-9][0-9]{0,17})' last origin log recording_of until_s at n said before=0 past=''
    dir=$work/purge box=$dir station=''
    rm -rf "$dir" && mkdir "$dir" && mapfile -t lines <"$file" && last=$((${#lines[@]} - 1)) || return 1
    ((last >= 11 && $(stat -c %s "$file") <= 65536 + 8192)) && [[ ! ${lines[last - 1]} ]] || bad "not a signed note" || return
    for n in 3 2; do
        base64 -d <<<"${lines[last - n]#certificate }" >"$dir/der" && openssl x509 -inform DER -in "$dir/der" >>"$dir/station.pem" &&
            [[ "certificate $(base64 -w 0 "$dir/der")" == "${lines[last - n]}" ]] || bad "not a certificate" || return
    done
    range_station || return 1
    printf '%s\n' "${lines[@]:0:last-1}" >"$dir/text" && { cat "$dir/text" && echo; } >"$dir/note"
    cp "$dir/station.pub" "$dir/receipt.pub" && { printf '%s\n\1' "$station" && base64 -d <<<"$public_der" | tail -c 32; } |
        openssl dgst -sha256 -binary >"$dir/receipt.id" || return 1
    index='' origin=$station
    signed_by receipt "${lines[last]}" && cmp "$dir/note" "$file" || bad "not a note of station $station" || return
    of="$(printf '%s|' "${lines[@]:0:7}")"
    [[ $of =~ ^bodycam-purge/v1\|station\ "$station"\|origin\ ([-.a-zA-Z0-9]+/([-a-z0-9]{1,27})/[1-9][0-9]{0,5})\|camera\ ([-a-z0-9]+)\|recording\ (r[0-9]{10}-[0-9a-f]{8})\|until\ $number\|purged\ $number\|$ ]] ||
        bad "a purge note in another form" || return
    log=${BASH_REMATCH[1]} recording_of=${BASH_REMATCH[4]} until_s=${BASH_REMATCH[5]} at=${BASH_REMATCH[6]}
    [[ ${BASH_REMATCH[2]} == "${BASH_REMATCH[3]}" ]] || bad "of a log of another camera" || return
    ((0 < until_s && until_s <= at)) || bad "purged before the end to which it was to be kept" || return
    ((last - 10 <= 256)) || bad "too many segments" || return
    said="by station $station at $(date -u -d "@$at" +%FT%TZ 2>/dev/null || echo "$at s"), kept until $(date -u -d "@$until_s" +%FT%TZ 2>/dev/null || echo "$until_s s")"
    for n in "${lines[@]:7:last-10}"; do
        [[ $n =~ ^segment\ ([0-9a-f]{64})\ $number\ ($recording_of-([0-9]{4}))\ $number\ $number$ ]] || bad "not a line of a segment" || return
        ((BASH_REMATCH[5] > 10#${recording_of:1:10} + 10#${BASH_REMATCH[4]} && BASH_REMATCH[6] > 0 && BASH_REMATCH[6] <= BASH_REMATCH[2] / 3072)) ||
            bad "${BASH_REMATCH[3]} cannot hold these leaves" || return
        [[ ${BASH_REMATCH[3]} > $past && ${BASH_REMATCH[5]} -ge $before ]] || bad "its segments are out of order" || return
        past=${BASH_REMATCH[3]} before=$((BASH_REMATCH[5] + BASH_REMATCH[6]))
        gone["$log ${BASH_REMATCH[5]}"]="$before $past ${BASH_REMATCH[1]} ${BASH_REMATCH[2]} ${BASH_REMATCH[5]} ${BASH_REMATCH[6]} $said"
    done
}

# All of these leaves are of segments that notes name. What a seal leaf says of them is compared once all was read.
purged_between() { # FIRST END
    local at=$1 end one sha bytes count what found=()
    while ((at < $2)) && [[ ${gone[$origin $at]-} ]]; do
        found+=("${gone[$origin $at]}")
        at=${found[-1]%% *}
    done
    ((at == $2)) || return 1
    for one in "${found[@]}"; do
        read -r end one sha bytes at count what <<<"$one"
        purged[$one]="$sha $bytes $at $count"
        echo "note  leaves $at to $((end - 1)), $one, were purged $what" | printable
    done
}

# The leaves from the last of those here on up to this size are of segments that notes name.
purged_back() { # SIZE
    local at=$1 one first more=yes
    while [[ ! ${root_at[$origin $at]-} && $more ]]; do
        more=''
        for one in "${!gone[@]}"; do
            first=${one##* }
            [[ $one == "$origin "* ]] && ((first < at && at <= ${gone[$one]%% *})) && at=$first more=yes && break
        done
    done
    [[ ${root_at[$origin $at]-} ]]
}

# A head that the identity signed, and that the leaves before what was purged lead to.
kept_head() {
    local old
    dir=$work/kept index=''
    rm -rf "$dir" && mkdir "$dir" && sed '1,/^$/d' "$file" >"$dir/checkpoint" && sed '/^$/,$d' "$file" | tail -n +2 >"$dir/hashes" || return 1
    old=$(sed -nE '1s/^old ([1-9][0-9]{0,17})$/\1/p' "$file") && [[ $old ]] || bad "no size to begin with" || return
    { echo "old $old" && cat "$dir/hashes" && echo && cat "$dir/checkpoint"; } | cmp - "$file" &&
        head_text "$dir/checkpoint" && cp -r "$work/by/${origin//\//_}" "$dir/by" || return 1
    signed_head "$dir/checkpoint" anyone && [[ $strong ]] || bad "the identity did not sign it" || return
    [[ ${root_at[$origin $old]-} ]] || return 0
    consistent "$old" "${root_at[$origin $old]}" "$dir/hashes" || bad "the leaves below $old do not lead to it" || return
    covered[$origin]+=" $old"
}

# -- a range: some entries, each with its path to one checkpoint (9) -----------------------------------------------

safe_name='[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*'
known_name='README\.txt|report\.json|trust/(root|tsa)\.pem|checkpoint|station\.pem|chains/[0-9a-f]{64}\.pem'
known_name+='|init\.(age|header)|identity/[0-9]{10}\.(checkpoint|consistency)|earlier/(checkpoint|consistency)|timestamp\.tsr|entries/[0-9]{10}\.(age|json|tlog-proof|header)'

# Plain files under names that lead nowhere else, each once.
plain_members() {
    tar -tf "$file" >"$dir/members" && tar -tvf "$file" --numeric-owner >"$dir/modes" || return 1
    ! grep -v '^-rw-r--r-- 0/0 ' "$dir/modes" && ! grep -Evx "$safe_name" "$dir/members" || return 1
    ! grep -E '(^|/)\.\.?(/|$)' "$dir/members" && sort "$dir/members" >"$dir/sorted" || return 1
    uniq -d "$dir/sorted" >"$dir/twice" || return 1
    [[ ! -s $dir/twice ]] || bad "a member stands twice" || return
    (($(wc -l <"$dir/sorted") <= 800000)) || bad "the proof has too many members"
}

# And three members to an entry.
range_members() {
    plain_members || return
    sed -n 's|^entries/\([0-9]\{10\}\)\.json$|\1|p' "$dir/sorted" >"$dir/stems"
    sed 's/^0*\(.\)/\1/' "$dir/stems" >"$dir/indexes"
    sed 's|.*|entries/&.age\nentries/&.json\nentries/&.tlog-proof|' "$dir/stems" >"$dir/wanted"
    [[ -s $dir/stems ]] && grep '^entries/' "$dir/sorted" | grep -v '\.header$' | diff - "$dir/wanted" || return 1
    for member in checkpoint init.age report.json; do
        grep -qx "$member" "$dir/sorted" || bad "$member is not there" || return
    done
}

# What was rewrapped as the camera wrote it: X.age its header and the payload, X.new what stands in the proof.
range_unpacked() {
    local header stem at line
    mv "$box"/entries/* "$box/init.age" "$dir" && mv "$box/chains" "$dir" || return 1
    [[ ! -f $box/init.header ]] || mv "$box/init.header" "$dir"
    for header in "$dir"/*.header; do
        [[ -f $header ]] || continue
        stem=${header%.header}
        mv "$stem.age" "$stem.new" && at=$(grep -abm 1 '^--- ' "$stem.new" | cut -d: -f1) && [[ $at ]] || return 1
        line=$(tail -c "+$((at + 1))" "$stem.new" | head -n 1 | wc -c)
        { cat "$header" && tail -c "+$((at + line + 1))" "$stem.new"; } >"$stem.age" || return 1
    done
}

# The chains, each under its SHA-256; $dir/by/HEX.* is what check_chain makes of it.
range_chains() {
    local chain hex
    mkdir "$dir/by" || return 1
    for chain in "$dir"/chains/*.pem; do
        hex=$(basename "$chain" .pem)
        sha256sum --quiet --strict -c - <<<"$hex  $chain" && cp "$chain" "$dir/chain.pem" && check_chain || return 1
        for file_of in session.pub session.id identity.pub identity.id boot; do
            cp "$dir/$file_of" "$dir/by/$hex.$file_of" || return 1
        done
    done
}

# The receipt key below issuing below root (6, 7); its id as a cosigner.
range_station() {
    awk -v cert="$dir/station" '/BEGIN CERT/ { n++ } { print > (cert n) } END { exit n != 2 }' "$box/station.pem" &&
        openssl verify -no_check_time -CAfile "$trust" -untrusted "$dir/station2" "$dir/station1" || return 1
    subject_and_key "$dir/station2" && [[ $subject =~ ^CN=[^,]*,OU=bodycam\ issuing$ ]] ||
        bad "no issuing certificate" || return
    subject_and_key "$dir/station1" && [[ $subject =~ ^CN=([^,\ ]+),OU=bodycam\ receipt$ ]] || bad "$subject" || return
    station=${BASH_REMATCH[1]}
    echo "$public_pem" >"$dir/station.pub"
    { printf '%s\n\4' "$station" && base64 -d <<<"$public_der" | tail -c 32; } |
        openssl dgst -sha256 -binary >"$dir/station.id"
}

# head_text FILE: $origin, $camera, $size and $root as its text says them.
head_text() {
    local lines
    mapfile -t lines <"$1"
    origin=${lines[0]-} size=${lines[1]-} root=${lines[2]-} camera=${lines[0]%/*}
    camera=${camera##*/}
    [[ $camera =~ ^[-a-z0-9]{1,27}$ && $origin =~ ^[-.a-zA-Z0-9]+/$camera/[1-9][0-9]*$ &&
        $size =~ ^(0|[1-9][0-9]{0,17})$ && $root =~ ^[A-Za-z0-9+/]{43}=$ ]] || bad "not a checkpoint of a camera"
}

# signed_head FILE [anyone]: by a session of the chains, by its identity or not, cosigned by the station or not, and by no
# other. Of anyone: where the session's chain is not here, by the identity of one that is (8).
signed_head() {
    local lines id by=''
    mapfile -t lines <"$1"
    printf '%s\n' "$origin" "$size" "$root" >"$dir/text"
    { cat "$dir/text" && echo; } >"$dir/note"
    base64 -d <<<"${lines[4]##* }" >"$dir/raw"
    for id in "$dir"/by/*.session.id; do
        ! cmp -sn 4 "$dir/raw" "$id" || by=${id%.session.id}
    done
    if [[ $by ]]; then
        cp "$by.session.id" "$dir/session.id" && cp "$by.session.pub" "$dir/session.pub" || return 1
        signed_by session "${lines[4]}" || return 1
    elif [[ ${2-} ]]; then
        echo "${lines[4]}" >>"$dir/note"
        base64 -d <<<"${lines[5]##* }" >"$dir/raw"
        for id in "$dir"/by/*.identity.id; do
            ! cmp -sn 4 "$dir/raw" "$id" || by=${id%.identity.id}
        done
    fi
    [[ $by ]] || bad "signed by no session whose chain is here" || return
    cp "$by.identity.id" "$dir/identity.id" && cp "$by.identity.pub" "$dir/identity.pub" || return 1
    lines=("${lines[@]:5}") cosigned='' strong=''
    if [[ ${lines[0]-} == "— $origin "* ]]; then
        { signed_by identity "${lines[0]}" -digest sha256 && low_s; } || return 1
        lines=("${lines[@]:1}") strong=$(basename "$by")
    fi
    if [[ ${lines[0]-} && -f $dir/station.id ]]; then cosigned_by "${lines[0]}" || return 1; fi
    cmp "$dir/note" "$1"
}
cosigned_by() { # LINE: sets $cosigned to the station's time
    base64 -d <<<"${1##* }" >"$dir/raw"
    echo "— $station $(base64 -w 0 "$dir/raw")" >>"$dir/note"
    cosigned=$((0x$(tail -c +5 "$dir/raw" | head -c 8 | od -An -v -tx1 | tr -d ' \n')))
    tail -c +13 "$dir/raw" >"$dir/signature"
    { printf 'cosignature/v1\ntime %s\n' "$cosigned" && cat "$dir/text"; } >"$dir/cosigned"
    { cmp -n 4 "$dir/raw" "$dir/station.id" && openssl pkeyutl -verify -pubin -inkey "$dir/station.pub" -rawin \
        -in "$dir/cosigned" -sigfile "$dir/signature"; } || bad "not cosigned by the station"
}

# hex_lines FILE: the hashes in it, base64 a line, as \x00\x01... a line each; fails unless each is of 32 bytes.
hex_lines() {
    [[ ! -s $1 ]] && return
    ! grep -Evx '[A-Za-z0-9+/]{43}=' "$1" && base64 -d "$1" >"$dir/raw" &&
        [[ $(stat -c %s "$dir/raw") == "$(($(wc -l <"$1") * 32))" ]] &&
        od -An -v -w32 -tx1 "$dir/raw" | sed 's/ /\\x/g'
}

# Each leaf's path to the root (RFC 9162, 2.1.3.2): all leaves one level at a time, with one sha256sum for a level.
range_paths() {
    local index at step todo more=yes
    local -A path=() fn=() sn=() top=()
    tree=()
    for json in "$dir"/[0-9]*.json; do printf '\0' | cat - "$json" >"${json%.json}.leaf"; done
    hashes "$dir"/*.leaf
    at=0
    while read -r index; do
        path_of "$index" || bad "leaf $index: not an inclusion proof with this checkpoint" || return
        tree[$index.0]=${hash[at++]} fn[$index]=$index sn[$index]=$((size - 1)) top[$index]=0
        ((index < size)) || bad "leaf $index is not in a tree of $size" || return
    done <"$dir/indexes"
    for ((step = 0; step < 64 && ${#more}; step++)); do
        more='' todo=()
        while read -r index; do
            [[ ${path[$index.$step]-} ]] || continue
            more=yes tree[p.$index.$step]=${path[$index.$step]}
            ((sn[$index])) || bad "leaf $index: its path is too long" || return
            if ((fn[$index] & 1 || fn[$index] == sn[$index])); then
                todo+=("$index.$((step + 1))" "p.$index.$step" "$index.$step")
                while ((!(fn[$index] & 1) && fn[$index])); do
                    fn[$index]=$((fn[$index] >> 1)) sn[$index]=$((sn[$index] >> 1))
                done
            else
                todo+=("$index.$((step + 1))" "$index.$step" "p.$index.$step")
            fi
            fn[$index]=$((fn[$index] >> 1)) sn[$index]=$((sn[$index] >> 1)) top[$index]=$((step + 1))
        done <"$dir/indexes"
        nodes "${todo[@]}"
    done
    while read -r index; do
        [[ ${sn[$index]} == 0 && $(printf %b "${tree[$index.${top[$index]}]}" | base64) == "$root" ]] ||
            bad "leaf $index is not in the tree of the checkpoint" || return
    done <"$dir/indexes"
}
path_of() { # INDEX: sets path[INDEX.0], path[INDEX.1], ...; the file is what these and the checkpoint make
    local stem lines step=0 found
    printf -v stem '%s/%010d' "$dir" "$1"
    sed -n '3,/^$/{/^$/!p}' "$stem.tlog-proof" >"$dir/lines"
    { printf 'c2sp.org/tlog-proof@v1\nindex %s\n' "$1" && cat "$dir/lines" && echo && cat "$box/checkpoint"; } |
        cmp - "$stem.tlog-proof" && found=$(hex_lines "$dir/lines") || return 1
    mapfile -t lines <<<"$found"
    for found in ${lines[@]+"${lines[@]}"}; do [[ ! $found ]] || path[$1.$((step++))]=$found; done
}

# earlier/checkpoint is a prefix of checkpoint.
range_earlier() {
    local new_size=$size new_root=$root new_origin=$origin status
    head_text "$box/earlier/checkpoint" && [[ $origin == "$new_origin" ]] &&
        signed_head "$box/earlier/checkpoint" && [[ $cosigned ]]
    status=$?
    local old_size=$size old_root=$root
    size=$new_size root=$new_root origin=$new_origin
    ((status == 0)) && consistent "$old_size" "$old_root" "$box/earlier/consistency" || return 1
    [[ ! $strong || $old_size -le ${by_identity["$strong"]-0} ]] || by_identity["$strong"]=$old_size
}

# consistent OLD_SIZE OLD_ROOT FILE: the log of $size leaves begins with that one (RFC 9162, 2.1.4.2).
consistent() {
    local old_size=$1 old_root=$2 low=$(($1 - 1)) high=$((size - 1)) step=0 found line lines
    ((0 < old_size && old_size < size)) && found=$(hex_lines "$3") || return 1
    mapfile -t lines <<<"$found"
    ((old_size & (old_size - 1))) || lines=("$(base64 -d <<<"$old_root" | od -An -v -w32 -tx1 | sed 's/ /\\x/g')" "${lines[@]}")
    while ((low & 1)); do low=$((low >> 1)) high=$((high >> 1)); done
    tree[f.0]=${lines[0]} tree[s.0]=${lines[0]}
    for line in "${lines[@]:1}"; do
        [[ $line ]] || continue
        ((high)) || bad "the proof is too long" || return
        tree[c.$step]=$line tree[f.$((step + 1))]=${tree[f.$step]}
        if ((low & 1 || low == high)); then
            nodes "f.$((step + 1))" "c.$step" "f.$step" "s.$((step + 1))" "c.$step" "s.$step"
            while ((!(low & 1) && low)); do low=$((low >> 1)) high=$((high >> 1)); done
        else
            nodes "s.$((step + 1))" "s.$step" "c.$step"
        fi
        low=$((low >> 1)) high=$((high >> 1)) step=$((step + 1))
    done
    [[ $high == 0 && $(printf %b "${tree[f.$step]}" | base64) == "$old_root" &&
        $(printf %b "${tree[s.$step]}" | base64) == "$root" ]]
}

# identity/SIZE.checkpoint is signed by the identity, and one of it and checkpoint is a prefix of the other.
range_identity() { # SIZE
    local new_size=$size new_root=$root new_origin=$origin stem=$box/identity/$1 station_id=$dir/station.id status
    [[ ! -f $station_id ]] || mv "$station_id" "$station_id.kept" # of the camera alone
    head_text "$stem.checkpoint" && [[ $origin == "$new_origin" && $size -gt 0 && $1 == "$(printf %010d "$size")" ]] &&
        signed_head "$stem.checkpoint" && [[ $strong ]]
    status=$?
    [[ ! -f $station_id.kept ]] || mv "$station_id.kept" "$station_id"
    local old_size=$size old_root=$root
    size=$new_size root=$new_root origin=$new_origin
    ((status == 0)) && [[ -f $stem.consistency ]] || return 1
    if ((old_size == size)); then
        [[ $old_root == "$root" && ! -s $stem.consistency ]] || return 1
    elif ((old_size < size)); then
        consistent "$old_size" "$old_root" "$stem.consistency" || return 1
    else
        size=$old_size root=$old_root
        consistent "$new_size" "$new_root" "$stem.consistency"
        status=$?
        size=$new_size root=$new_root
        ((status == 0)) || return 1
    fi
    by_identity["$strong"]=$((old_size > ${by_identity["$strong"]-0} ? old_size : ${by_identity["$strong"]-0}))
}

# What must have the word of the identity is in a tree that it signed (2, 9); of what it signed for another session alone, and of
# what is beyond all of it, a note.
range_vouched() {
    local most=0 one missing='' from=''
    for one in ${by_identity[@]+"${by_identity[@]}"}; do ((one <= most)) || most=$one; done
    while next_leaf; do
        ((index < most)) || { from=${from:-$index} && alone="$from to $index"; }
        [[ $kind =~ ^(session|start|stop|recovery|shutdown)$ ]] || continue
        if ((index >= most)); then
            missing=yes
            echo "leaf $index, of kind $kind, leads to no checkpoint here that the identity signed"
        elif ((index >= ${by_identity[$chain]-0})); then
            silent+=("$index")
        fi
    done <"$dir/leaves"
    [[ ! $missing ]]
}

# report.json says which parts there are to be; they and every leaf between them are here, and the start (9).
range_leaves() {
    local want last started='' before='' said
    said=$(tr -d '\n' <"$box/report.json" | loose=1 json .export.recording .export.first_part .export.last_part) || return 1
    IFS='|' read -r recording want last <<<"$said"
    [[ $recording =~ ^r[0-9]{10}-[0-9a-f]{8}$ && "$want $last" =~ ^(0|[1-9][0-9]{0,17})\ (0|[1-9][0-9]{0,17})$ ]] ||
        bad "report.json does not say" || return
    first_part=$want last_part=$last
    while next_leaf; do
        [[ $mono_ns -ge ${clock[$boot]-0} ]] || bad "leaf $index: the clock went back" || return
        clock[$boot]=$mono_ns
        check_order || return
        [[ $boot == "$(<"$dir/by/$chain.boot")" ]] || bad "leaf $index: of another boot than its session" || return
        [[ $kind == start && $of == "$recording" && $((10#${recording:1:10})) == "$index" ]] && started=yes
        if [[ $before && $want -le $last && $index != $((before + 1)) ]]; then
            bad "leaf $((before + 1)), within the range, is not here" || return
        fi
        if [[ $class == media ]]; then
            [[ $of == "$recording" && $part == "$want" && $want -le $last ]] ||
                bad "leaf $index: part $part of $of, not part $want" || return
            want=$((want + 1))
        elif [[ $of == "$recording" && ($kind == stop || ($kind == recovery && $cut == true)) ]]; then
            [[ $said_parts == "$((last + 1))" ]] ||
                bad "the recording ends with $said_parts parts, the range with part $last" || return
        fi
        [[ ! $before && $class != media ]] || before=$index
    done <"$dir/leaves"
    [[ $started ]] || bad "the recording's start leaf is not here" || return
    [[ $want == $((last + 1)) ]] || bad "the range is to end with part $last, and ends before part $want"
}

range_stamp() {
    openssl ts -verify -data "$box/checkpoint" -in "$box/timestamp.tsr" -CAfile "$tsa"
}

check_range() {
    range=$(basename "$file" .proof.tar)
    echo "--    $range" | printable
    [[ ! ${given[$file]-} ]] || fail "given twice" || return
    given[$file]=range
    rm -rf "$dir" && mkdir -p "$dir/box" && box=$dir/box station='' seq='' && unset one_chain
    clock=() unbroken=() began=() ended=() by_identity=() alone=''
    check "tar -t: plain members, each once, three to an entry" range_members || return
    check "tar -x, cmp: spelled anew it is the same archive, byte for byte" check_spelling || return
    ! grep -Evx "$known_name" "$dir/members" >"$dir/unknown" || sed 's/^/note  not looked at: /' "$dir/unknown" | printable
    check "each entry's sealed bytes and headers" range_unpacked || return
    check "the checkpoint is of a camera's log" head_text "$box/checkpoint" || return
    check "openssl verify: session, camera, issuer, root of every chain" range_chains || return
    [[ ! -f $box/station.pem ]] || check "openssl verify: station, issuer, root" range_station || return
    check "the checkpoint of $size leaves is signed by the camera" signed_head "$box/checkpoint" || return
    local when=$cosigned earlier='' one
    [[ ! $strong ]] || by_identity["$strong"]=$size
    check "every leaf can be read" read_leaves || return
    check "sha256sum -c: sealed bytes, chains and init are what the leaves name" check_digests
    check "Merkle path of every leaf to the root in the checkpoint" range_paths
    if [[ -d $box/earlier ]]; then
        check "Merkle proof: the log at its earlier, cosigned size" range_earlier && earlier=$cosigned
    fi
    sed -nE 's|^identity/([0-9]{10})\..*|\1|p' "$dir/sorted" | uniq >"$dir/identities"
    (($(wc -l <"$dir/identities") <= 8)) || fail "more than 8 heads in identity/"
    for one in $(head -n 8 "$dir/identities"); do
        check "Merkle proof: the log at a size that the identity signed" range_identity "$one"
    done
    check "the identity vouches for each leaf that must have its word" range_vouched
    for one in ${silent[@]+"${silent[@]}"}; do echo "note  leaf $one: the identity's word on it is of another session alone"; done
    silent=()
    [[ ! $alone ]] || echo "note  leaves $alone are in no tree that the identity signed: the session's key alone speaks for them"
    [[ ! $station || $when || $earlier ]] || fail "station.pem is here, but nothing is cosigned"
    [[ ! $when ]] || echo "note  cosigned by $station, $(date -u -d "@$when" +%FT%TZ 2>/dev/null || echo "$when s")" | printable
    check "the parts that report.json names, every leaf between them, and the start" range_leaves
    if [[ -f $box/timestamp.tsr && $tsa ]]; then
        check "openssl ts: a timestamp authority saw the checkpoint" range_stamp
    elif [[ -f $box/timestamp.tsr ]]; then
        echo "note  its timestamp was not checked: name the authority's root certificate with --tsa"
    fi
    [[ ! $key ]] || check "age -d: every entry opens, bodies are those their leaves name" open_entries
    echo "note  nothing here speaks of what lies outside parts ${first_part-} to ${last_part-}"
}

# -- a whole recording: its segments, and what leads from their leaves to a head that a station cosigned (9) --------

check_export() {
    local dir=$work/export.${#given[@]} box found number=${#rest[@]}
    box=$dir/box
    echo "--    $(basename "$file" .proof.tar)" | printable
    [[ ! ${given[$file]-} ]] || fail "given twice" || return
    given[$file]=whole
    mkdir -p "$box"
    check "tar -t: plain members, each once" plain_members || return
    check "tar -x, cmp: spelled anew it is the same archive, byte for byte" check_spelling || return
    rest[number]=0
    for found in "$box"/segments/*.tar; do
        inside[${found##*/}]+=" $number" rest[number]=$((rest[number] + 1))
        if [[ -f $work/inside/${found##*/} ]]; then
            cmp "$found" "$work/inside/${found##*/}" >/dev/null || fail "two segments are called ${found##*/}"
        else
            mkdir -p "$work/inside" && mv "$found" "$work/inside" || return
            segments+=("$work/inside/${found##*/}") asked=$((asked + 1))
        fi
    done
    [[ ! -d $box/cosigned ]] || vouched+=("$box/cosigned")
    for found in "$box"/purges/*.purge; do [[ ! -f $found ]] || notes+=("$found"); done
    for found in "$box"/purges/*.vouched; do [[ ! -f $found ]] || kept+=("$found"); done
}

# What the folder $box holds, against the roots of the segments given.
cosigned_head() {
    local member old
    for member in checkpoint consistency station.pem chain.pem; do
        [[ -f $box/$member ]] || bad "cosigned/$member is not there" || return
    done
    mkdir -p "$dir/chains" && cp "$box/chain.pem" "$dir/chains/$(sha256sum <"$box/chain.pem" | cut -c1-64).pem" &&
        head_text "$box/checkpoint" && range_chains && range_station && signed_head "$box/checkpoint" || return 1
    [[ $cosigned ]] || bad "no station cosigned it" || return
    for member in "$dir"/cert[123]; do openssl x509 -in "$member"; done | cmp - "$box/chain.pem" || return 1
    for member in "$dir"/station[12]; do openssl x509 -in "$member"; done | cmp - "$box/station.pem" || return 1
    old=$(sed -nE '1s/^old ([1-9][0-9]{0,17})$/\1/p' "$box/consistency") && [[ $old ]] || bad "no size to begin with" || return
    tail -n +2 "$box/consistency" >"$dir/hashes" && { echo "old $old" && cat "$dir/hashes"; } | cmp - "$box/consistency" &&
        [[ ! $(tail -c 1 "$box/consistency") ]] || bad "not a consistency proof" || return
    purged_back "$old" || bad "the leaves below $old of $origin are not all here" || return
    if [[ ! ${root_at[$origin $old]-} ]]; then
        echo "note  what leads to the cosigned head of $old leaves was purged: not compared" >"$dir/hidden"
        return
    elif [[ $old == "$size" && ! -s $dir/hashes ]]; then
        [[ $root == "${root_at[$origin $old]}" ]]
    else
        consistent "$old" "${root_at[$origin $old]}" "$dir/hashes"
    fi || bad "the leaves below $old do not lead to it" || return
    [[ ! $strong ]] || covered[$origin]+=" $old"
    printf '%s, %s: the leaves below %s of %s' "$station" "$(date -u -d "@$cosigned" +%FT%TZ 2>/dev/null)" "$old" "$origin" >"$dir/by_whom"
}

# Segments log after log, by the index of their first leaf.
in_order() {
    for file in "${segments[@]}"; do
        IFS='|' read -r log index < <(tar -xOf "$file" --occurrence=1 segment.json | json .origin .first)
        printf '%s\t%09d\t%010d\t%s\n' "${log%/*}" "${log##*/}" "$index" "$file"
    done 2>/dev/null | sort | cut -f4-
}

segment_name='^(r[0-9]{10}-[0-9a-f]{8}-[0-9]{4}|e[0-9]{10}-[0-9a-f]{8})$'
exports=() vouched=() cosigned_ok=''
declare -A start_seen=() tree=() clock=() counted=() unbroken=() whole_from=() writer=() began=() ended=() next_part=() sealed=() given=() wanted=() root_at=() follows=() end_of=()
frontier=() after=() last_origin='' last_end='' waits=() silent=() lacking=()
declare -A covered=() by_identity=() gone=() purged=() said_of=() inside=()
rest=() seen=() claimed=() begun=0
asked=${#segments[@]} others=()
for file in "${segments[@]}"; do
    if [[ $(basename "$(dirname "$file")") == open ]]; then
        echo "note  $(basename "$file" .tar) lies in open/, so it may still be written to: not looked at" | printable
        asked=$((asked - 1))
        continue
    fi
    tar -tf "$file" >"$work/names" 2>/dev/null
    if grep -Eqx 'checkpoint|entries/.*' "$work/names"; then ranges+=("$file")
    elif grep -q '^segments/' "$work/names"; then exports+=("$file")
    else others+=("$file"); fi
done
segments=(${others[@]+"${others[@]}"})
for file in ${exports[@]+"${exports[@]}"}; do check_export </dev/null; done
[[ ! ${exports[*]-} ]] || excerpt=yes
((${#segments[@]} > 1)) || [[ ${exports[*]-} ]] || excerpt=alone
for file in ${ranges[@]+"${ranges[@]}"}; do check_range </dev/null; done
for file in ${notes[@]+"${notes[@]}"}; do check "purge note ${file##*/}" check_purge </dev/null; done
clock=() unbroken=() began=() ended=()
[[ ! ${segments[*]-} ]] || in_order >"$work/order"
[[ ! -f $work/order ]] || while IFS= read -r file; do check_segment </dev/null; done <"$work/order"
((asked)) || fail "nothing else was given"
((fails || ${#given[@]} == asked)) || fail "of $asked files only ${#given[@]} were looked at"

[[ ! ${segments[*]-} ]] || echo "--    across segments"
for name in $(printf '%s\n' "${!sealed[@]}" | sort); do
    if [[ ${given[$name]-} ]]; then
        check "$name is the file its seal leaf names" test "${sealed[$name]}" = "${given[$name]}"
    elif [[ ${purged[$name]-} == "${said_of[$name]}" ]]; then
        echo "ok    $name is what its seal leaf names, and was purged"
    elif [[ $excerpt == alone || ($excerpt && ! ${wanted[${name%-*}]-}) ]]; then
        echo "note  $name, which a seal leaf names, is not among the segments above"
    else
        fail "$name, which a seal leaf names, is missing"
    fi
done
for log in $(printf '%s\n' "${!follows[@]}" | sort); do
    read -r old old_size old_root <<<"${follows[$log]}"
    if [[ ${root_at[$old $old_size]-} ]]; then
        check "$log follows $old at $old_size leaves, which has this root and no more" \
            test "$old_root ${end_of[$old]}" = "${root_at[$old $old_size]} $old_size"
    elif [[ $old_size == 0 ]]; then
        echo "note  $log follows $old, of which nothing was left" | printable
    elif [[ $excerpt ]]; then
        echo "note  $log follows $old at $old_size leaves, which are not among the segments above" | printable
    else
        fail "$log follows $old at $old_size leaves: what it had up to there is missing"
    fi
done
for box in ${vouched[@]+"${vouched[@]}"}; do
    dir=$work/cosigned
    rm -rf "$dir" && mkdir "$dir"
    check "Merkle proof from the leaves to the head that a station cosigned" cosigned_head || continue
    [[ ! -f $dir/hidden ]] || { cat "$dir/hidden" && continue; }
    cosigned_ok=yes
    echo "note  cosigned by $(<"$dir/by_whom")" | printable
done
for file in ${kept[@]+"${kept[@]}"}; do check "Merkle proof to the head ${file##*/}" kept_head; done
# Such a head vouches for the leaves below it that lead to it without a gap.
for one in ${lacking[@]+"${lacking[@]}"} ${waits[@]+"${waits[@]/%/ $last_end}"}; do
    read -r log index name run_end <<<"$one"
    for old in ${covered[$log]-}; do
        ((old <= index || old > run_end)) || { silent+=("$log $index $name") && continue 2; }
    done
    fail "leaf $index of $name must have the identity's signature, and no later checkpoint has it" || true
done
tell_silent
for file in "$work"/r*.mp4; do
    [[ -f $file ]] || continue
    check "ffprobe: the parts of $(basename "$file" .mp4) play" ffprobe -v error -show_entries \
        stream=codec_type,codec_name,duration -of compact "$file" && sed 's/^/        /' "$work/said" | printable
    [[ ! $media ]] || cp "$file" "$media"
done

[[ ! ${segments[*]-} || $cosigned_ok ]] || echo "note  whether leaves are missing after the last one, only a later checkpoint or receipt tells"
if ((fails)); then
    echo "DOES NOT VERIFY: $fails checks failed"
    exit 1
fi
echo "verified"
