/**
 * Partitions in turn by weight, and smoothly, as nginx picks its upstreams: weights 5, 1, 1 give a a b a c a a, not
 * a a a a a b c. In each step every partition gains its weight, the one that has most is taken and pays the sum of all.
 * A step looks at every partition.
 */
import type { Partitioner, PartitionerTopic, TopicPartitioner } from "../Partitioner.ts"

/** The weight of a partition: any number from 0, asked for once per metadata. With 0 it gets nothing. */
export type PartitionWeight = (
  partition: { readonly partition: number; readonly leader: number },
  topic: PartitionerTopic
) => number

class SmoothWeighted implements TopicPartitioner {
  readonly #weight: PartitionWeight
  #topic: PartitionerTopic | null = null
  /** By place in #candidates. */
  #weights: Array<number> = []
  #candidates: ReadonlyArray<number> = []
  #sum = 0
  /** By partition: what it has gained and not paid yet. */
  readonly #credits: Array<number> = []

  constructor(weight: PartitionWeight) {
    this.#weight = weight
  }

  readonly partition = (_record: unknown, topic: PartitionerTopic): number => {
    if (topic !== this.#topic) this.#weigh(topic)
    let best = -1
    for (let i = 0; i < this.#candidates.length; i++) {
      const partition = this.#candidates[i]!
      const credit = this.#credits[partition]! + this.#weights[i]!
      this.#credits[partition] = credit
      if (this.#weights[i]! > 0 && (best < 0 || credit > this.#credits[best]!)) best = partition
    }
    this.#credits[best]! -= this.#sum
    return best
  }

  /** @throws RangeError for a weight that is none; the record fails with it */
  #weigh(topic: PartitionerTopic): void {
    const candidates = topic.available.length > 0 ? topic.available : topic.partitions.map(({ partition }) => partition)
    let weights = candidates.map((partition) => {
      const weight = this.#weight(topic.partitions[partition]!, topic)
      if (weight >= 0 && Number.isFinite(weight)) return weight
      throw new RangeError(`weight ${weight} for ${topic.name}-${partition}: give a finite number from 0`)
    })
    // where nobody may get anything everybody gets the same: a record has to go somewhere
    if (weights.every((weight) => weight === 0)) weights = weights.map(() => 1)
    for (let partition = this.#credits.length; partition < topic.partitions.length; partition++) this.#credits.push(0)
    this.#topic = topic
    this.#candidates = candidates
    this.#weights = weights
    this.#sum = weights.reduce((sum, weight) => sum + weight, 0)
  }
}

/** @param weight for example `({ leader }) => (leader === 3 ? 1 : 2)`: half as much for a small broker */
export const smoothWeightedPartitioner = (weight: PartitionWeight): Partitioner => ({
  name: "smooth-weighted",
  make: () => new SmoothWeighted(weight)
})
