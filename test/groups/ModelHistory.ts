/**
 * What members of one group saw, and the rules that it must keep. Pure: the run tells each call when it is made and
 * when it is answered, in the order in which that happened; a broken rule is an Error.
 *
 *  - one owner: a partition has at most one owner in a generation
 *  - fencing: once a generation is in force (somebody was told an assignment of it), no commit of an older one that is
 *    made after that is accepted
 *  - the last commit: a fetched offset is that of a commit that no other accepted commit came after. A commit without
 *    an answer may have happened at any time since, or never
 */

export class RuleBroken extends Error {
  readonly _tag = "RuleBroken"
}

/** Moments are counted, not timed. */
type Moment = number

interface Commit {
  readonly offset: number
  readonly called: Moment
  /** When it was answered, or the broker ended that might have done it; Infinity before. */
  ended: Moment
  /** False while nobody knows. */
  isAccepted: boolean
}

/** A commit or a fetch on its way. */
export interface Call {
  readonly partition: number
  readonly called: Moment
}

export interface CommitCall extends Call {
  readonly generation: number
  readonly commit: Commit
}

export class GroupHistory {
  #moment = 0
  readonly #owners = new Map<string, string>()
  readonly #commits = new Map<number, Array<Commit>>()
  /** Moment at which a generation was first seen in force. */
  readonly #inForce: Array<{ readonly generation: number; readonly at: Moment }> = []
  assignments = 0
  commits = 0
  fetches = 0

  get generation(): number {
    return this.#inForce.at(-1)?.generation ?? -1
  }

  /**
   * A member was told its partitions. `owner`: its id; of a static member its instance, because the member that comes
   * back takes the place of the one before without a new generation (KIP-345), which is fenced from then on.
   */
  assigned(generation: number, owner: string, partitions: ReadonlyArray<number>): void {
    this.assignments++
    if (generation > this.generation) this.#inForce.push({ generation, at: ++this.#moment })
    for (const partition of partitions) {
      const key = `${generation}/${partition}`
      const before = this.#owners.get(key)
      if (before !== undefined && before !== owner) {
        throw new RuleBroken(`generation ${generation}, partition ${partition}: owned by ${before} and by ${owner}`)
      }
      this.#owners.set(key, owner)
    }
  }

  commitCalled(partition: number, offset: number, generation: number): CommitCall {
    const called = ++this.#moment
    const commit: Commit = { offset, called, ended: Infinity, isAccepted: false }
    this.#commitsOf(partition).push(commit)
    return { partition, called, generation, commit }
  }

  /** The commit was accepted or refused; a call that is never answered is not told. */
  commitAnswered(call: CommitCall, isAccepted: boolean): void {
    const ended = ++this.#moment
    if (!isAccepted) {
      const commits = this.#commitsOf(call.partition)
      commits.splice(commits.indexOf(call.commit), 1)
      return
    }
    this.commits++
    const newer = this.#inForce.find(({ at, generation }) => generation > call.generation && at < call.called)
    if (newer !== undefined && call.generation >= 0) {
      throw new RuleBroken(`a commit of generation ${call.generation} was accepted after generation ${newer.generation} was in force`)
    }
    call.commit.ended = ended
    call.commit.isAccepted = true
  }

  fetchCalled(partition: number): Call {
    return { partition, called: ++this.#moment }
  }

  /** `offset` -1: none is committed. */
  fetchAnswered({ called, partition }: Call, offset: number): void {
    this.#moment++
    this.fetches++
    const commits = this.#commitsOf(partition)
    const possible = commits.filter((one) => !commits.some((later) => later.isAccepted && later.called > one.ended && later.ended < called))
    const certain = commits.some(({ ended, isAccepted }) => isAccepted && ended < called)
    if (offset === -1 ? certain : !possible.some((one) => one.offset === offset)) {
      throw new RuleBroken(`partition ${partition}: fetched ${offset}, possible are ${certain ? "" : "-1 "}${possible.map((one) => one.offset).join(" ")}`)
    }
  }

  /** Every call on its way has ended with the broker: what was not answered by now happened before now, or never. */
  brokerEnded(): void {
    const at = ++this.#moment
    for (const commits of this.#commits.values()) for (const commit of commits) if (commit.ended === Infinity) commit.ended = at
  }

  #commitsOf(partition: number): Array<Commit> {
    let commits = this.#commits.get(partition)
    if (commits === undefined) this.#commits.set(partition, commits = [])
    return commits
  }
}
