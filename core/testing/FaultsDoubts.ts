/**
 * The fault model of machines as it is held here: a replica that lost power counts as doubtful until it is back in the ISR.
 * Of no partition are min ISR or more replicas doubtful, and while one is, somebody in ISR or ELR stays who had no unclean
 * stop: else the controller, which cannot tell a killed process from a machine without power, could only guess whom to
 * trust. A change of min ISR makes everybody but the ISR ineligible, as in Kafka: then it is the ISR that has to have somebody.
 */
import type { PartitionImage } from "../cluster/MetadataImage.ts"
import type { SimCluster } from "./SimCluster.ts"
import type { SimulationObserver } from "./SimulationObserver.ts"

/** Who is not to be trusted with a partition's committed records. */
interface Doubts {
  /** Lost power and not back in the ISR since. */
  readonly lost: Set<number>
  /** Stopped uncleanly in any way, and not back in the ISR since. */
  readonly unclean: Set<number>
}

export class FaultDoubts {
  readonly #cluster: SimCluster
  readonly #observer: SimulationObserver
  /** Of every topic in the beginning. */
  readonly #minIsr: number
  /** By `topicId-partition`. */
  readonly #doubts: Map<string, Doubts> = new Map()
  /**
   * By topic: on how few replicas something may have been committed, by min.insync.replicas or for want of replicas. It is
   * not taken back, for what was committed so stays so.
   */
  readonly #fewest: Map<string, number> = new Map()
  /** Brokers whose disks fail them: they stop uncleanly at any moment, whatever the ISR says of them until then. */
  readonly failing: Set<number> = new Set()
  /** Topics whose min ISR is being changed. */
  readonly changing: Set<string> = new Set()

  constructor(cluster: SimCluster, observer: SimulationObserver, minIsr: number) {
    this.#cluster = cluster
    this.#observer = observer
    this.#minIsr = minIsr
  }

  #doubtsOf(key: string): Doubts {
    let doubts = this.#doubts.get(key)
    if (doubts === undefined) this.#doubts.set(key, doubts = { lost: new Set(), unclean: new Set() })
    return doubts
  }

  /** Replicas that are back in the ISR since they came back can be trusted again. */
  #settle(key: string, image: PartitionImage): Doubts {
    const doubts = this.#doubtsOf(key)
    const { brokers } = this.#observer.image()
    for (const id of doubts.unclean) {
      if (this.failing.has(id)) continue
      const broker = this.#cluster.broker(id)
      const registration = brokers.get(id)
      // In the ISR by a change that was made after it registered again: not by one from before its stop.
      const isBack = broker.state === "running" && registration !== undefined && registration.epoch === broker.broker!.brokerEpoch &&
        image.modRevision > registration.epoch && image.isr.includes(id)
      if (!isBack) continue
      doubts.unclean.delete(id)
      doubts.lost.delete(id)
    }
    return doubts
  }

  /** Whether the model allows this broker an unclean stop now; remembers it when it does. */
  mayStop(id: number, losesPower: boolean): boolean {
    const affected: Array<Doubts> = []
    for (const topic of this.#observer.image().topicsById.values()) {
      for (const image of topic.partitions) {
        if (!image.replicas.includes(id)) continue
        const doubts = this.#settle(`${topic.id}-${image.partition}`, image)
        affected.push(doubts)
        const lost = new Set(losesPower ? [...doubts.lost, id] : doubts.lost)
        if (lost.size === 0) continue
        if (lost.size >= (this.#fewest.get(topic.name) ?? this.#minIsr)) return false
        const eligible = this.changing.has(topic.name) ? image.isr : [...image.isr, ...image.elr]
        if (!eligible.some((member) => member !== id && !doubts.unclean.has(member))) return false
      }
    }
    for (const doubts of affected) {
      doubts.unclean.add(id)
      if (losesPower) doubts.lost.add(id)
    }
    return true
  }

  /** Whether the model allows a topic this min ISR now. */
  mayChangeMinIsr(name: string, minIsr: number): boolean {
    const topic = this.#observer.image().topicsByName.get(name)
    return topic === undefined || topic.partitions.every((image) => {
      const { lost, unclean } = this.#settle(`${topic.id}-${image.partition}`, image)
      return lost.size === 0 || (lost.size < minIsr && image.isr.some((id) => !unclean.has(id)))
    })
  }

  /** From now on records of a topic may be committed on so few replicas. */
  lower(topic: string, replicas: number): void {
    this.#fewest.set(topic, Math.min(replicas, this.#fewest.get(topic) ?? this.#minIsr))
  }
}
