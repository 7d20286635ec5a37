/** The segments of one log in offset order, the last of which is active: appends go there. Never empty. */
import type { Segment } from "./Segment.ts"

export class Segments {
  private list: ReadonlyArray<Segment>

  constructor(list: ReadonlyArray<Segment>) {
    this.list = list
  }

  get all(): ReadonlyArray<Segment> {
    return this.list
  }
  get active(): Segment {
    return this.list[this.list.length - 1]!
  }
  get first(): Segment {
    return this.list[0]!
  }
  get sizeInBytes(): number {
    let size = 0
    for (const segment of this.list) size += segment.size
    return size
  }

  /** Index of the segment with the largest base offset <= `offset`; 0 when all are larger. */
  floor(offset: number): number {
    const { list } = this
    let low = 0
    let high = list.length - 1
    if (list[high]!.baseOffset <= offset) return high
    while (low < high) {
      const middle = (low + high + 1) >>> 1
      if (list[middle]!.baseOffset <= offset) low = middle
      else high = middle - 1
    }
    return low
  }

  at(index: number): Segment | undefined {
    return this.list[index]
  }

  /** Exclusive end of a segment's offsets. */
  endOffset(index: number, logEndOffset: number): number {
    return this.list[index + 1]?.baseOffset ?? logEndOffset
  }

  add(segment: Segment): void {
    this.list = [...this.list, segment]
  }

  /** Replaces `removed`, which follow each other, by `added`. */
  replace(removed: ReadonlyArray<Segment>, added: ReadonlyArray<Segment>): void {
    const from = this.list.indexOf(removed[0]!)
    this.list = [...this.list.slice(0, from), ...added, ...this.list.slice(from + removed.length)]
  }
}
