/** A controller on a store in memory, for tests. */
import * as Effect from "effect/Effect"
import type { Scope } from "effect/Scope"
import * as ControllerModule from "../../core/cluster/Controller.ts"
import type { Controller, ControllerOptions } from "../../core/cluster/Controller.ts"
import type { AlterPartition, AlterPartitionResult, NewTopic, RegisterBroker } from "../../core/cluster/Commands.ts"
import type { BrokerRegistration, MetadataImage } from "../../core/cluster/MetadataImage.ts"
import { Crypto } from "../../core/ports/Crypto.ts"
import { MetadataStore, type MetadataStoreError } from "../../core/ports/MetadataStore.ts"

const crcTable = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1
  return crc >>> 0
})

const crc32c = (bytes: Uint8Array, seed = 0): number => {
  let crc = ~seed
  for (const byte of bytes) crc = (crcTable[(crc ^ byte) & 255] as number) ^ (crc >>> 8)
  return ~crc >>> 0
}

/** Bytes that repeat: the same tests make the same topic ids. */
export const seededCrypto = (seed = 1): Crypto => {
  let state = seed >>> 0
  return {
    crc32c,
    randomBytes: (count) => {
      const bytes = new Uint8Array(count)
      for (let i = 0; i < count; i++) {
        state = (Math.imul(state, 1664525) + 1013904223) >>> 0
        bytes[i] = state >>> 24
      }
      return bytes
    }
  }
}

export const controllerOptions: ControllerOptions = {
  brokerId: 1,
  clusterId: "test-cluster-id-000000",
  numPartitions: () => 1,
  replicationFactor: () => 1,
  topicConfigError: (configs) => {
    const bad = [...configs].find(([name]) => name.startsWith("bad."))
    return bad === undefined ? undefined : `Unknown topic config name: ${bad[0]}`
  },
  brokerConfigError: () => undefined
}

export const makeController = (
  store: MetadataStore,
  options: Partial<ControllerOptions> = {},
  seed = 1
): Effect.Effect<Controller, never, Scope> =>
  ControllerModule.make({ ...controllerOptions, ...options }).pipe(
    Effect.provideService(MetadataStore, store),
    Effect.provideService(Crypto, seededCrypto(seed)),
    Effect.orDie
  )

export const registration = (id: number, previousBrokerEpoch = -1, rack: string | null = null): RegisterBroker => ({
  id,
  rack,
  listeners: [{ name: "PLAINTEXT", host: "localhost", port: 9092 + id, securityProtocol: "PLAINTEXT" }],
  logDirs: [],
  previousBrokerEpoch
})

export const alterOne = (
  controller: Controller,
  change: AlterPartition
): Effect.Effect<AlterPartitionResult, MetadataStoreError> =>
  Effect.map(controller.alterPartitions([change]), ([result]) => result!)

export const newTopic = (name: string, numPartitions = 1, over: Partial<NewTopic> = {}): NewTopic => ({
  name,
  numPartitions,
  replicationFactor: -1,
  assignments: [],
  configs: [],
  ...over
})

export const broker = (id: number, over: Partial<BrokerRegistration> = {}): BrokerRegistration => ({
  id,
  epoch: 1,
  rack: null,
  listeners: [],
  logDirs: [],
  uncleanEpoch: -1,
  fenced: false,
  session: "",
  inControlledShutdown: false,
  offlineReplicas: new Set(),
  ...over
})

/** Entries by key. */
const sorted = <V>(map: ReadonlyMap<string | number, V>): ReadonlyArray<readonly [string, V]> =>
  [...map].map(([key, value]) => [String(key), value] as const).sort(([a], [b]) => (a < b ? -1 : 1))

/** An image as plain data, to compare. */
export const plain = (image: MetadataImage): unknown => {
  return {
    ...image,
    brokers: sorted(image.brokers),
    topicsByName: sorted(image.topicsByName),
    topicsById: sorted(image.topicsById),
    topicConfigs: sorted(image.topicConfigs).map(([name, configs]) => [name, sorted(configs)]),
    brokerConfigs: sorted(image.brokerConfigs).map(([name, configs]) => [name, sorted(configs)]),
    revisions: sorted(image.revisions)
  }
}
