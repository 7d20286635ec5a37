/** Metadata, versions 0 to 13. */
import type { MetadataRequestInput } from "../../protocol/generated/Metadata.ts"
import type { MetadataQuestion } from "./MetadataState.ts"

/** Names null: all topics, which version 0 spells as none. From version 4 on a broker is told whether it may create. */
export const metadataRequest =
  ({ autoCreate, names }: MetadataQuestion) => (version: number): MetadataRequestInput => ({
    topics: names === null ? (version === 0 ? [] : null) : names.map((name) => ({ name })),
    ...version >= 4 ? { allowAutoTopicCreation: autoCreate } : {}
  })
