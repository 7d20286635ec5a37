/** Which version of an API two ends speak. */
export type { RpcApi } from "../protocol/RpcApi.ts"

export interface VersionRange {
  readonly minVersion: number
  readonly maxVersion: number
}

/** The highest version that both speak; undefined: none. */
export const commonVersion = (ours: VersionRange, theirs: VersionRange | undefined): number | undefined => {
  if (theirs === undefined) return undefined
  const version = Math.min(ours.maxVersion, theirs.maxVersion)
  return version >= Math.max(ours.minVersion, theirs.minVersion) ? version : undefined
}
