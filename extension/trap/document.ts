/** The frame of a webview's page: its policy, style and script. Pure. */

export interface Assets {
  /** Of the webview: what may be loaded. */
  readonly cspSource: string;
  readonly styles: readonly string[];
  readonly script: string;
  readonly nonce: string;
  /** Kept by the page, so that it can be restored: JSON. */
  readonly state: string;
}

/** JSON inside a script element: nothing in it can end the element. */
export function inlineJson(json: string): string {
  return json
    .replace(/</g, '\\u003c')
    .replace(/\u2028/g, '\\u2028')
    .replace(/\u2029/g, '\\u2029');
}

export function renderDocument(title: string, body: string, a: Assets): string {
  const policy = `default-src 'none'; style-src ${a.cspSource}; script-src 'nonce-${a.nonce}'; font-src ${a.cspSource}`;
  return `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
${a.styles.map(s => `<link rel="stylesheet" href="${s}">`).join('\n')}
<title>${title.replace(/[&<>"']/g, c => `&#${c.charCodeAt(0)};`)}</title>
</head>
<body>
${body}
<script type="application/json" id="state" nonce="${a.nonce}">${inlineJson(a.state)}</script>
<script nonce="${a.nonce}" src="${a.script}"></script>
</body>
</html>`;
}
