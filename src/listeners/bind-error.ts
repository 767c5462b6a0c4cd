/** What Node says when it cannot listen; `address` is what a name was looked up as. */
export type BindError = NodeJS.ErrnoException & { readonly address?: string };

/** A BindError whose message is for operators. */
export class FaultyBind extends Error {
  readonly code: string;

  constructor(code: string, message: string) {
    super(message);
    this.name = 'FaultyBind';
    this.code = code;
  }
}
