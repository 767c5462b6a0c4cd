/** A reason not to start that the operator can do something about: one line, no stack. */
export class StartError extends Error {
  readonly code: string;

  constructor(code: string, message: string, cause?: unknown) {
    super(message, { cause });
    this.code = code;
  }
}
