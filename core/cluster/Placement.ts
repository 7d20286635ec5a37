/**
 * Which brokers hold the replicas of new partitions: a pure function. Laws (test/cluster/Placement.test.ts): no
 * broker twice in a partition; leaders are spread evenly over the live brokers; a partition's replicas are on as many
 * racks as there are, up to the replication factor; a broker that is fenced or about to stop is taken only when the
 * others don't suffice, and never as first replica.
 */
import { type BrokerRegistration, isActive } from "./MetadataImage.ts"

/** What placement asks of a broker. */
export type PlaceableBroker = Pick<BrokerRegistration, "id" | "rack" | "fenced" | "inControlledShutdown">

/** `replicationFactor` cannot be had from these brokers. */
export class PlacementRefusal {
  readonly _tag = "PlacementRefusal"
  readonly message: string
  constructor(message: string) {
    this.message = message
  }
}

export interface PlacementRequest {
  readonly count: number
  readonly replicationFactor: number
  /** Any number from 0: where the round over the brokers begins, so that small topics don't all start on one. */
  readonly seed: number
}

/** Live brokers, one of each rack in turn, so that neighbours are on different racks. */
const interleaveRacks = (brokers: ReadonlyArray<PlaceableBroker>): Array<PlaceableBroker> => {
  const racks = new Map<string | null, Array<PlaceableBroker>>()
  for (const broker of [...brokers].sort((a, b) => a.id - b.id)) {
    const rack = racks.get(broker.rack)
    if (rack === undefined) racks.set(broker.rack, [broker])
    else rack.push(broker)
  }
  const order: Array<PlaceableBroker> = []
  for (let round = 0; order.length < brokers.length; round++) {
    for (const rack of racks.values()) {
      const broker = rack[round]
      if (broker !== undefined) order.push(broker)
    }
  }
  return order
}

/** @returns replicas by partition, the first of each its preferred leader */
export const placeReplicas = (
  brokers: Iterable<PlaceableBroker>,
  request: PlacementRequest
): ReadonlyArray<ReadonlyArray<number>> | PlacementRefusal => {
  const { count, replicationFactor, seed } = request
  const all = [...brokers]
  if (replicationFactor <= 0) {
    return new PlacementRefusal(`Invalid replication factor ${replicationFactor}: the replication factor must be positive.`)
  }
  const live = interleaveRacks(all.filter((broker) => isActive(broker)))
  if (live.length === 0) return new PlacementRefusal("All brokers are currently fenced or in controlled shutdown.")
  if (replicationFactor > all.length) {
    return new PlacementRefusal(
      `The target replication factor of ${replicationFactor} cannot be reached because only ${all.length} broker(s) are ` +
        "registered or some brokers have all their log directories cordoned."
    )
  }
  const candidates = [...live, ...interleaveRacks(all.filter((broker) => !isActive(broker)))]
  /** Replicas given to each broker so far, leaders too. */
  const load = new Map<number, number>(candidates.map((broker) => [broker.id, 0]))
  const placed: Array<ReadonlyArray<number>> = []
  for (let partition = 0; partition < count; partition++) {
    const start = (seed + partition) % live.length
    const replicas: Array<number> = []
    const perRack = new Map<string | null, number>()
    const take = (broker: PlaceableBroker): void => {
      replicas.push(broker.id)
      load.set(broker.id, (load.get(broker.id) ?? 0) + 1)
      perRack.set(broker.rack, (perRack.get(broker.rack) ?? 0) + 1)
    }
    take(live[start] as PlaceableBroker)
    while (replicas.length < replicationFactor) {
      let best: PlaceableBroker | undefined
      let bestCost: ReadonlyArray<number> = []
      for (let step = 1; step <= candidates.length; step++) {
        // Live brokers from the leader's neighbour on, then the fenced ones.
        const broker = (step <= live.length ? live[(start + step) % live.length] : candidates[step - 1]) as PlaceableBroker
        if (replicas.includes(broker.id)) continue
        // Being live comes before the rack, the rack before the load, the load before the neighbourhood.
        const cost = [isActive(broker) ? 0 : 1, perRack.get(broker.rack) ?? 0, load.get(broker.id) ?? 0]
        if (best === undefined || lessThan(cost, bestCost)) {
          best = broker
          bestCost = cost
        }
      }
      take(best as PlaceableBroker)
    }
    placed.push(replicas)
  }
  return placed
}

const lessThan = (a: ReadonlyArray<number>, b: ReadonlyArray<number>): boolean => {
  for (let i = 0; i < a.length; i++) {
    const difference = (a[i] as number) - (b[i] as number)
    if (difference !== 0) return difference < 0
  }
  return false
}
