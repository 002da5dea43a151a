# Completion of maglevc for bash: source <(maglevc completion bash)
_maglevc() {
    local candidate word previous= colon words=()
    COMPREPLY=()
    # bash splits words at colons, and replaces only the part after the last one.
    for word in "${COMP_WORDS[@]:1:COMP_CWORD}"; do
        if [[ ${#words[@]} -gt 0 && ($word == :* || $previous == *:) ]]; then
            words[${#words[@]}-1]+=$word
        else
            words+=("$word")
        fi
        previous=$word
    done
    word=${words[${#words[@]}-1]}
    colon=${word%"${word##*:}"}
    while IFS=$'\t' read -r candidate _; do
        COMPREPLY+=("${candidate#"$colon"}")
    done < <("${COMP_WORDS[0]}" complete -- "${words[@]}" 2>/dev/null)
}
complete -F _maglevc maglevc
