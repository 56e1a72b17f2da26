/** Errors that nobody catches: one line for the person instead of a stack trace and the end of the process. */

import { describeFailure } from "./failure.ts";

/**
 * Tells of background errors in one line each and lets the program go on.
 *
 * @param report takes the line and the error itself
 * @returns a function that ends it
 */
export function catchFaults(report: (line: string, error: unknown) => void): () => void {
  const onError = (event: ErrorEvent) => {
    event.preventDefault();
    report(describeFailure(event.error).line, event.error);
  };
  const onRejection = (event: PromiseRejectionEvent) => {
    event.preventDefault();
    report(describeFailure(event.reason).line, event.reason);
  };
  globalThis.addEventListener("error", onError);
  globalThis.addEventListener("unhandledrejection", onRejection);
  return () => {
    globalThis.removeEventListener("error", onError);
    globalThis.removeEventListener("unhandledrejection", onRejection);
  };
}
