/** What the executable knows of its making. */

/** `scripts/bundle.ts` puts the commit in place of this text. */
const COMMIT_SLOT: string = "@arona-commit@";

/** The commit that the executable was made from, with `+` behind it where files had been changed; null from a checkout. */
export const COMMIT: string | null = COMMIT_SLOT.startsWith("@") ? null : COMMIT_SLOT;
