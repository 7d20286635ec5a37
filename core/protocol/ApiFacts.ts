/** What is known of each API without its codecs: cheap to import. */
import { apiTable } from "./generated/ApiTable.ts"

export interface ApiFacts {
  readonly key: number
  readonly name: string
  /** Oldest version whose schema is known. */
  readonly minVersion: number
  /** Latest stable version: what is advertised. */
  readonly maxVersion: number
  /** Differs from `maxVersion` while the last version is not stable yet; codecs know it. */
  readonly latestVersion: number
  /** What ApiVersions says instead of `minVersion`. Produce says 0: librdkafka looks there for compression. */
  readonly advertisedMin: number
  /** The first flexible version (KIP-482): compact lengths, tagged fields, the longer header. 32767: none. */
  readonly requestFlexibleFrom: number
  readonly responseFlexibleFrom: number
  /** "broker", "controller": who serves it. */
  readonly listeners: ReadonlyArray<string>
  /** Between brokers; needs the ClusterAction permission. */
  readonly clusterAction: boolean
  /** A broker hands it to the controller. */
  readonly forwardable: boolean
}

/** By API key. APIs of which no version is left (LeaderAndIsr and the like) are not in it. */
export const apiFacts: ReadonlyMap<number, ApiFacts> = new Map(apiTable.map((facts) => [facts.key, facts]))
