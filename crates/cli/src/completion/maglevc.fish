# Completion of maglevc for fish: maglevc completion fish | source
function __maglevc_candidates
    set -l words (commandline --tokenize --cut-at-cursor)
    $words[1] complete -- $words[2..-1] (commandline --current-token --cut-at-cursor) 2>/dev/null
end
complete --command maglevc --no-files --arguments '(__maglevc_candidates)'
