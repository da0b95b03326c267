#!/usr/bin/env bash
# The stock check of bodycam evidence: nothing here was written by the camera's makers but this script, and it is short enough to read.
# Tools: tar, sha256sum, age, openssl (3.0 or later), ffprobe, and coreutils. What it checks stands in docs/evidence-format.md, section 8.
#
#   verify.sh SEGMENT.tar... --trust ROOT.pem [--key AGENCY.agekey]
#
# Without --key nothing is decrypted and ffprobe is not run. Exit status: 0 everything given is sound, 1 something is not, 2 usage.
# It does not check the exact spelling of tar headers and notes, clocks, or receipts: `bodycam-evidence verify` does.
set -u -o pipefail
export LC_ALL=C
umask 077

usage() { sed -n '2,8s/^# \{0,1\}//p' "$0"; exit "${1:-2}"; }

trust='' key='' segments=()
while (($#)); do
  case $1 in
    --trust) trust=${2:-}; shift 2 || usage ;;
    --key) key=${2:-}; shift 2 || usage ;;
    -h | --help) usage 0 ;;
    -*) echo "unknown option $1" >&2; usage ;;
    *) segments+=("$1"); shift ;;
  esac
done
[ -n "$trust" ] && [ ${#segments[@]} -gt 0 ] || usage
for file in "$trust" ${key:+"$key"} "${segments[@]}"; do
  [ -r "$file" ] || { echo "cannot read $file" >&2; exit 2; }
done
for tool in tar sha256sum openssl ${key:+age ffprobe}; do
  command -v "$tool" >/dev/null || { echo "$tool is not installed" >&2; exit 2; }
done

work=$(mktemp -d) || exit 2
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
failures=0
ok() { printf 'ok    %s\n' "$*"; }
fail() { printf 'FAIL  %s\n' "$*"; failures=$((failures + 1)); }

# -- small pieces ------------------------------------------------------------------------------------------------------
sha() { sha256sum | cut -d' ' -f1; }
unhex() { printf '%b' "$(sed 's/../\\x&/g' <<<"$1")"; }
b64hex() { base64 -d <<<"$1" 2>/dev/null | od -An -v -tx1 | tr -d ' \n'; }
text_of() { sed -n "s/.*\"$2\":\"\([^\"]*\)\".*/\1/p" <<<"$1"; }       # "key":"text"
number_of() { sed -n "s/.*\"$2\":\([0-9][0-9]*\).*/\1/p" <<<"$1"; }    # "key":123
leaf_hash() { { printf '\0'; cat "$1"; } | sha; }                      # RFC 6962: 0x00 || leaf
node_hash() { { printf '\001'; unhex "$1$2"; } | sha; }                # RFC 6962: 0x01 || left || right

# The tree so far: its size, and the roots of its perfect subtrees, largest first (RFC 6962 read from the left).
size=0 roots=()
append() {
  local rest=$size last
  roots+=("$1")
  while ((rest & 1)); do
    last=$((${#roots[@]} - 1))
    roots[last - 1]=$(node_hash "${roots[last - 1]}" "${roots[last]}")
    unset "roots[last]"
    rest=$((rest >> 1))
  done
  size=$((size + 1))
}
tree_root() {
  local i=$((${#roots[@]} - 1)) root
  root=${roots[i]}
  while ((i > 0)); do
    i=$((i - 1))
    root=$(node_hash "${roots[i]}" "$root")
  done
  printf '%s' "$root"
}

# -- certificates: root > issuing > identity > session, each in its role ----------------------------------------------------
issued() { openssl verify -no_check_time -no-CApath -no-CAstore -partial_chain -trusted "$1" "$2" >/dev/null 2>&1; }
role() { openssl x509 -in "$1" -noout -subject -nameopt sep_multiline,utf8 2>/dev/null | sed -n 's/^ *OU=//p'; }
name() { openssl x509 -in "$1" -noout -subject -nameopt sep_multiline,utf8 2>/dev/null | sed -n 's/^ *CN=//p'; }
check_chain() { # DIR CAMERA: leaves session.pub and identity.pub in DIR
  local d=$1
  awk -v d="$d" '/-----BEGIN/ {n++} n {print > (d "/cert" n ".pem")}' "$d/chain.pem"
  [ "$(ls "$d"/cert*.pem 2>/dev/null | wc -l)" = 3 ] || { fail "$3: chain.pem does not hold three certificates"; return 1; }
  issued "$trust" "$d/cert3.pem" && issued "$d/cert3.pem" "$d/cert2.pem" && issued "$d/cert2.pem" "$d/cert1.pem" &&
    openssl verify -no_check_time -no-CApath -no-CAstore -CAfile "$trust" -untrusted "$d/chain.pem" "$d/cert1.pem" >/dev/null 2>&1 ||
    { fail "$3: the certificates do not lead to $trust"; return 1; }
  [ "$(role "$trust")/$(role "$d/cert3.pem")/$(role "$d/cert2.pem")/$(role "$d/cert1.pem")" = \
    "bodycam root/bodycam issuing/bodycam camera identity/bodycam camera session" ] ||
    { fail "$3: a certificate is not in its role"; return 1; }
  [ "$(name "$d/cert2.pem")" = "$2" ] && [[ "$(name "$d/cert1.pem")" == "$2 "* ]] ||
    { fail "$3: the certificates are not those of camera $2"; return 1; }
  openssl x509 -in "$d/cert1.pem" -noout -pubkey >"$d/session.pub" && openssl x509 -in "$d/cert2.pem" -noout -pubkey >"$d/identity.pub"
}

# -- one entry ------------------------------------------------------------------------------------------------------------
check_note() { # DIR STEM ORIGIN: signatures, and that it says what the tree says
  local d=$1 note="$1/$2.note" lines
  head -n 3 "$note" >"$d/text"
  mapfile -t lines <"$note"
  [ "${lines[0]:-}" = "$3" ] && [ "${lines[1]:-}" = "$size" ] && [ -z "${lines[3]-x}" ] || return 1
  [ "$(b64hex "${lines[2]:-}")" = "$(tree_root)" ] || return 2
  base64 -d <<<"${lines[4]##* }" 2>/dev/null | tail -c +5 >"$d/sig"
  openssl pkeyutl -verify -pubin -inkey "$d/session.pub" -rawin -in "$d/text" -sigfile "$d/sig" >/dev/null 2>&1 || return 3
  [ ${#lines[@]} -gt 5 ] || return 0
  base64 -d <<<"${lines[5]##* }" 2>/dev/null | tail -c +5 >"$d/sig"
  openssl dgst -sha256 -verify "$d/identity.pub" -signature "$d/sig" "$d/text" >/dev/null 2>&1 || return 4
}
check_age() { # DIR STEM LEAF: header and payload apart, as the leaf says
  local file="$1/$2.age" h p hs ps
  h=$(sed -n 's/.*"header":{"size":\([0-9]*\),.*/\1/p' <<<"$3") p=$(sed -n 's/.*"payload":{"size":\([0-9]*\),.*/\1/p' <<<"$3")
  hs=$(sed -n 's/.*"header":{[^}]*"sha256":"\([0-9a-f]*\)".*/\1/p' <<<"$3") ps=$(sed -n 's/.*"payload":{[^}]*"sha256":"\([0-9a-f]*\)".*/\1/p' <<<"$3")
  [ "$(stat -c %s "$file")" = "$((h + p))" ] && [ "$(head -c "$h" "$file" | sha)" = "$hs" ] && [ "$(tail -c +$((h + 1)) "$file" | sha)" = "$ps" ]
}

# -- one segment ----------------------------------------------------------------------------------------------------------
declare -A digest_of said_digest media_of init_of
next_first='' next_roots=''
check_segment() {
  local tar=$1 segment d header origin camera recording first count i stem leaf bad=0
  segment=$(basename "$tar" .tar) d="$work/$2"
  mkdir "$d"
  digest_of[$segment]=$(sha256sum "$tar" | cut -d' ' -f1)
  tar -xf "$tar" -C "$d" 2>/dev/null || { fail "$segment: tar cannot read it whole"; return; }
  [ -r "$d/segment.json" ] && [ -r "$d/chain.pem" ] || { fail "$segment: segment.json or chain.pem is missing"; return; }
  header=$(cat "$d/segment.json")
  origin=$(text_of "$header" origin) camera=$(text_of "$header" camera) recording=$(text_of "$header" recording) first=$(number_of "$header" first)
  check_chain "$d" "$camera" "$segment" || return
  size=$first roots=()
  for i in $(sed -n 's/.*"frontier":\[\(.*\)\].*/\1/p' <<<"$header" | tr -d '"' | tr ',' ' '); do roots+=("$(b64hex "$i")"); done
  if [ -n "$next_first" ]; then
    if [ "$first" != "$next_first" ]; then fail "$segment: begins at leaf $first, but $next_first is next: a segment is missing, doubled or swapped"
    elif [ "${roots[*]-}" != "$next_roots" ]; then fail "$segment: does not continue the log of the segment before it"; fi
  fi
  count=$(find "$d" -name '*.json' ! -name segment.json | wc -l)
  # The archive holds just these members, in this order.
  {
    [ -z "$recording" ] || echo init.age
    echo segment.json; echo chain.pem
    for ((i = first; i < first + count; i++)); do printf '%010d.age\n%010d.json\n%010d.note\n' "$i" "$i" "$i"; done
  } >"$d/expected"
  tar -tf "$tar" 2>/dev/null | cmp -s - "$d/expected" || { fail "$segment: members are missing, repeated or out of order"; return; }
  sed -n 's/.*"index":\([0-9]*\),.*"sealed":{"sha256":"\([0-9a-f]*\)".*/\1 \2/p' "$d"/[0-9]*.json |
    while read -r i leaf; do printf '%s  %010d.age\n' "$leaf" "$i"; done >"$d/SHA256SUMS"
  if ! (cd "$d" && [ "$(wc -l <SHA256SUMS)" = "$count" ] && sha256sum --status -c SHA256SUMS); then
    (cd "$d" && sha256sum --quiet -c SHA256SUMS 2>/dev/null) | while read -r i; do echo "      $segment: $i"; done
    fail "$segment: a sealed file is not what its leaf says"
  fi
  for ((i = first; i < first + count; i++)); do
    stem=$(printf '%010d' "$i") leaf=$(cat "$d/$(printf '%010d' "$i").json")
    append "$(leaf_hash "$d/$stem.json")"
    check_note "$d" "$stem" "$origin"
    case $? in
      1) fail "$segment: the checkpoint after leaf $i is not of this log or size"; bad=1 ;;
      2) fail "$segment: the leaves up to $i do not lead to the root that was signed"; bad=1 ;;
      3 | 4) fail "$segment: the signature after leaf $i is not valid"; bad=1 ;;
    esac
    ((bad == 0)) || break
    [ "$(number_of "$leaf" index)" = "$i" ] && [ "$(text_of "$leaf" camera)" = "$camera" ] && [ "$(text_of "$leaf" chain)" = "$(sha <"$d/chain.pem")" ] ||
      fail "$segment: leaf $i is not of this place, camera or chain"
    check_age "$d" "$stem" "$leaf" || fail "$segment: header or payload of $stem.age is not what its leaf says"
    case $leaf in
      *'"class":"media"'*)
        [ "$(text_of "$leaf" init)" = "$(sha <"$d/init.age")" ] || fail "$segment: init.age is not the one leaf $i names"
        media_of[$recording]+="$d/$stem.age " init_of[$recording]=$d/init.age ;;
      *'"kind":"seal"'*) said_digest[$(text_of "$leaf" segment)]=$(sed -n 's/.*"facts":{[^}]*"sha256":"\([0-9a-f]*\)".*/\1/p' <<<"$leaf") ;;
    esac
  done
  next_first=$((first + count)) next_roots="${roots[*]-}"
  ((bad)) || ok "$segment: $count leaves from $first, every digest, root and signature"
}

# In the order of the log, whatever order they were given in.
ordered=$(for tar in "${segments[@]}"; do
  printf '%s\t%s\n' "$(number_of "$(tar -xOf "$tar" segment.json 2>/dev/null)" first)" "$tar"
done | sort -n -k1,1)
number=0
while IFS=$'\t' read -r _ tar; do
  number=$((number + 1))
  check_segment "$tar" "$number"
done <<<"$ordered"

for segment in "${!said_digest[@]}"; do
  if [ -z "${digest_of[$segment]-}" ]; then [ "${#segments[@]}" = 1 ] || fail "$segment: sealed by the camera, but not among the files given"
  elif [ "${digest_of[$segment]}" != "${said_digest[$segment]}" ]; then fail "$segment: is not the file the camera sealed"
  else ok "$segment: is the file the camera sealed"; fi
done

if [ -n "$key" ]; then
  for recording in "${!media_of[@]}"; do
    mp4="$work/$recording.mp4"
    { age -d -i "$key" "${init_of[$recording]}" && for part in ${media_of[$recording]}; do age -d -i "$key" "$part" || exit 1; done; } >"$mp4" 2>"$work/age.err" ||
      { fail "$recording: age cannot open it: $(tail -n 1 "$work/age.err")"; continue; }
    shown=$(ffprobe -v error -show_entries stream=codec_name -of csv=p=0 "$mp4" 2>&1 | paste -sd' ') && [[ "$shown" == *h264* ]] &&
      ok "$recording: opens with the agency's key and plays ($(wc -w <<<"${media_of[$recording]}") parts: $shown)" ||
      fail "$recording: ffprobe finds no picture: $shown"
  done
fi

if ((failures)); then echo "DOES NOT VERIFY: $failures findings"; exit 1; fi
echo "verified with stock tools. Nothing later than leaf $((next_first - 1)) was looked for: a receipt or a later segment tells."
