// Command lines of the tools, one after the other, in one process: what a start costs is paid once. Each is told by a
// message and answered with its exit code; what it prints goes where our own streams go.
let runs = 0;

process.on('message', async ({ bundle, args, cwd }) => {
  process.chdir(cwd);
  process.argv.splice(2, process.argv.length, ...args);
  process.exitCode = undefined;
  // A bundle does its work when it is evaluated, so it has to be another one each time; the chunks that it shares with
  // others stay.
  await import(`${bundle}?${runs++}`);
  // What a tool listens to, it leaves to the end of its process.
  for (const stream of [process.stdout, process.stderr])
    for (const event of ['error', 'drain']) stream.removeAllListeners(event);
  process.send(process.exitCode ?? 0);
});
