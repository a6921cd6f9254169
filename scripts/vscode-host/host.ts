/** A VS Code server of its own for one run: fresh settings and extensions, an unused port, ended with the run. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { appendFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { type Browser, chromium } from 'playwright-core';

const CHROMIUM = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];
const START_MS = 60_000;

export class VsCodeHost {
  private server: ChildProcess | null = null;
  port = 0;

  /**
   * @param program where setup.sh has installed it
   * @param folder for this run's files
   * @param root the project
   */
  constructor(
    private readonly program: string,
    private readonly folder: string,
    private readonly root: string,
  ) {}

  private get base(): string[] {
    return [
      join(this.program, 'node_modules/code-server/out/node/entry.js'),
      '--config',
      join(this.folder, 'config.yaml'),
      '--user-data-dir',
      join(this.folder, 'user'),
      '--extensions-dir',
      join(this.folder, 'extensions'),
    ];
  }

  private get node(): string {
    return join(this.program, 'node/bin/node');
  }

  install(vsix: string): void {
    this.configure({});
    writeFileSync(join(this.folder, 'config.yaml'), '');
    execFileSync(this.node, [...this.base, '--install-extension', vsix], { stdio: 'pipe' });
  }

  /** The user's settings: those of settings.json, and these. */
  configure(settings: Readonly<Record<string, unknown>>): void {
    const common = JSON.parse(readFileSync(join(this.root, 'scripts/vscode-host/settings.json'), 'utf8'));
    mkdirSync(join(this.folder, 'user/User'), { recursive: true });
    writeFileSync(
      join(this.folder, 'user/User/settings.json'),
      JSON.stringify({ ...common, ...settings }, null, 2),
    );
  }

  /** Where the server, its windows and the extensions log. */
  get logFolder(): string {
    return this.folder;
  }

  /** Start the server and wait until it answers. */
  async start(options: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<void> {
    this.port = await freePort();
    const log = join(this.folder, 'server.log');
    const server = spawn(
      this.node,
      [
        ...this.base,
        ...['--auth', 'none', '--bind-addr', `127.0.0.1:${this.port}`, '--disable-telemetry'],
        ...['--disable-update-check', '--disable-workspace-trust', '--disable-getting-started-override'],
        '--disable-proxy',
        ...options,
      ],
      { env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'], detached: true },
    );
    this.server = server;
    for (const stream of [server.stdout, server.stderr])
      stream.on('data', (b: Buffer) => appendFileSync(log, b));
    const until = Date.now() + START_MS;
    for (;;) {
      if (server.exitCode !== null) throw new Error(`code-server ended with ${server.exitCode}: see ${log}`);
      const ok = await fetch(`http://127.0.0.1:${this.port}/healthz`).then(
        r => r.ok,
        () => false,
      );
      if (ok) return;
      if (Date.now() > until) throw new Error(`code-server does not answer: see ${log}`);
      await new Promise(resolve => setTimeout(resolve, 100));
    }
  }

  url(folder: string, query = ''): string {
    return `http://127.0.0.1:${this.port}/?folder=${encodeURIComponent(folder)}${query}`;
  }

  stop(): void {
    // The server has children of its own: its process group goes.
    if (this.server?.pid !== undefined) {
      try {
        process.kill(-this.server.pid, 'SIGKILL');
      } catch {}
    }
    this.server = null;
  }
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once('error', reject);
    probe.listen(0, '127.0.0.1', () => {
      const address = probe.address();
      probe.close(() =>
        typeof address === 'object' && address ? resolve(address.port) : reject(new Error('no port')),
      );
    });
  });
}

/** Debian's chromium. */
export function launchBrowser(): Promise<Browser> {
  const executablePath = CHROMIUM.find(existsSync);
  if (!executablePath)
    throw new Error('there is no chromium (apt-get install --no-install-recommends chromium)');
  return chromium.launch({
    executablePath,
    headless: true,
    // Whoever launches it ends it, and more: see the drive.
    handleSIGINT: false,
    handleSIGTERM: false,
    handleSIGHUP: false,
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
    ],
  });
}
