complete --keep-order --exclusive --command oneks --arguments "(COMPLETE=fish oneks -- (commandline --current-process --tokenize --cut-at-cursor) (commandline --current-token))"
