/** What Node says when it cannot listen. */
export type BindError = NodeJS.ErrnoException;

/** A BindError whose message is for operators. */
export class FaultyBind extends Error {
  readonly code: string;

  constructor(code: string, message: string) {
    super(message);
    this.name = 'FaultyBind';
    this.code = code;
  }
}
