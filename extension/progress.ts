/** Long work with a cancellable notification. */
import * as vscode from 'vscode';

/** Progress is shown only for what takes longer than this. */
const PROGRESS_DELAY_MS = 500;

/** Run `work`; once it takes long, with a notification that can cancel it. */
export async function withProgress<T>(title: string, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const controller = new AbortController();
  const result = work(controller.signal);
  const late = Symbol('late');
  let timer: NodeJS.Timeout | undefined;
  const first = await Promise.race([
    result,
    new Promise<typeof late>(resolve => {
      timer = setTimeout(() => resolve(late), PROGRESS_DELAY_MS);
    }),
  ]).finally(() => clearTimeout(timer));
  if (first !== late) return first as T;
  return vscode.window.withProgress(
    { location: vscode.ProgressLocation.Notification, title, cancellable: true },
    async (_progress, token) => {
      token.onCancellationRequested(() => controller.abort());
      return result;
    },
  );
}
