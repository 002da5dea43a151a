#compdef maglevc
# Completion of maglevc for zsh: source <(maglevc completion zsh)
_maglevc() {
    local -a candidates
    local candidate help
    while IFS=$'\t' read -r candidate help; do
        candidates+=("${candidate//:/\\:}${help:+:$help}")
    done < <("${words[1]}" complete -- "${(@)words[2,CURRENT]}" 2>/dev/null)
    _describe maglevc candidates
}
compdef _maglevc maglevc
