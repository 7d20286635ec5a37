/** What comes due in a coordinator of groups. */
export type GroupTimer =
  /** A member, or one that was only given its id, was not heard of for its session timeout. */
  | { readonly _tag: "Session"; readonly groupId: string; readonly memberId: string }
  /** The rebalance timeout: whoever has not joined is left behind. */
  | { readonly _tag: "Join"; readonly groupId: string }
  /** The first rebalance of an empty group waited for more members; `remainingMs` may still be waited after this. */
  | { readonly _tag: "InitialJoin"; readonly groupId: string; readonly delayMs: number; readonly remainingMs: number }
  /** The rebalance timeout after the join: whoever has not synced is put out. */
  | { readonly _tag: "Sync"; readonly groupId: string; readonly generationId: number }
  /** Time to look for offsets that expired. */
  | { readonly _tag: "Retention" }
