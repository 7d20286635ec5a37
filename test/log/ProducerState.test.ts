import { describe, expect, test } from "vitest"
import { ProducerState } from "../../core/log/ProducerState.ts"
import { ErrorCode } from "../../core/protocol/ErrorCode.ts"
import { ControlRecordType, endTransactionBatch } from "../../core/records/ControlRecord.ts"
import { append, batchOf, crypto, newLog, readAll, reload } from "./TestLog.ts"
import type { PartitionLog } from "../../core/log/PartitionLog.ts"

const options = { leaderEpoch: 0, nowMs: 1000, apiVersion: 13 }
const send = (log: PartitionLog, baseSequence: number, count = 1, producerEpoch = 0, extra: object = {}) => {
  const values = Array.from({ length: count }, (_, i) => `${baseSequence + i}`)
  const result = log.appendAsLeader(batchOf(values, { producerId: 4, producerEpoch, baseSequence, ...extra }), options)
  log.write()
  return result._tag === "Refusal" ? result.error : result.duplicate ? `again at ${result.baseOffset}` : result.baseOffset
}

describe("idempotent producers", () => {
  test("what was sent again is answered with the first append's offset, as far back as five batches", () => {
    const { log } = newLog()
    for (let i = 0; i < 7; i++) expect(send(log, i * 2, 2)).toBe(i * 2)
    for (let i = 2; i < 7; i++) expect(send(log, i * 2, 2)).toBe(`again at ${i * 2}`)
    expect(send(log, 2, 2)).toBe(ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER)
    expect(send(log, 12, 1)).toBe(ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER)
    expect(log.logEndOffset).toBe(14)
  })

  test("what is staged counts as sent", () => {
    const { log } = newLog()
    const batch = () => batchOf(["a"], { producerId: 4, producerEpoch: 0, baseSequence: 0 })
    log.appendAsLeader(batch(), options)
    expect(log.appendAsLeader(batch(), options)).toMatchObject({ duplicate: true, baseOffset: 0 })
    log.write()
    expect(readAll(log, 0)).toHaveLength(1)
  })

  test("gaps, older epochs and new epochs that do not begin at 0 are refused", () => {
    const { log } = newLog()
    expect(send(log, 5)).toBe(0)
    expect(send(log, 7)).toBe(ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER)
    expect(send(log, 1, 1, 1)).toBe(ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER)
    expect(send(log, 0, 1, 1)).toBe(1)
    expect(send(log, 6, 1, 0)).toBe(ErrorCode.INVALID_PRODUCER_EPOCH)
    expect(send(log, 1, 1, 1)).toBe(2)
  })

  test("sequences wrap from 2^31-1 to 0", () => {
    const { log } = newLog()
    const max = 0x7fffffff
    expect(send(log, max - 1, 3)).toBe(0)
    expect(log.activeProducers()[0]!.lastSequence).toBe(0)
    expect(send(log, max - 1, 3)).toBe("again at 0")
    expect(send(log, 1)).toBe(3)
  })

  test("a restart knows the last batch of each producer, a scan all five", async () => {
    const { log, memory } = newLog()
    for (let i = 0; i < 6; i++) send(log, i)
    log.finish()
    memory.crash({ _tag: "process" })
    const clean = await reload(memory, { isClean: true, recoveryPoint: 6 })
    expect(send(clean, 5)).toBe("again at 5")
    expect(send(clean, 4)).toBe(ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER)
    for (const name of memory.disk.list("/logs/t-0")) if (name.endsWith(".snapshot")) memory.disk.remove(`/logs/t-0/${name}`)
    memory.crash({ _tag: "process" })
    const scanned = await reload(memory)
    expect(send(scanned, 1)).toBe("again at 1")
    expect(send(scanned, 6)).toBe(6)
  })

  test("a silent producer is forgotten after its time, and may then begin anywhere", () => {
    const state = new ProducerState()
    state.append({ producerId: 1, producerEpoch: 0, baseSequence: 0, baseOffset: 0, lastOffset: 0, maxTimestamp: 100, isTransactional: false })
    state.append({ producerId: 2, producerEpoch: 0, baseSequence: 0, baseOffset: 1, lastOffset: 1, maxTimestamp: 100, isTransactional: true })
    state.expire(1099, 1000)
    expect(state.size).toBe(2)
    state.expire(1100, 1000)
    expect([...state.all()].map(({ producerId }) => producerId)).toEqual([2])
    expect(state.check(1, 0, 77, 0, false)._tag).toBe("Next")
  })
})

describe("transactions", () => {
  const begin = (log: PartitionLog, producerId: number, sequence = 0) =>
    append(log, [`txn of ${producerId}`], { producerId, producerEpoch: 0, baseSequence: sequence, isTransactional: true })
  const end = (log: PartitionLog, producerId: number, type: 0 | 1) => {
    const batch = endTransactionBatch({ type, coordinatorEpoch: 3 }, { crypto, producerId, producerEpoch: 0, timestamp: 1000 })
    const result = log.appendAsLeader(batch, { ...options, isCoordinator: true })
    log.write()
    return result._tag === "Appended" ? result.baseOffset : result.error
  }

  test("the first offset that is not decided holds back, until its marker; aborted ones are listed by first offset", async () => {
    const { log, memory } = newLog({ segmentBytes: 400 })
    append(log, ["plain"])
    expect(log.firstUnstableOffset).toBeUndefined()
    expect(begin(log, 10)).toBe(1)
    expect(begin(log, 11)).toBe(2)
    append(log, ["plain"])
    expect(log.firstUnstableOffset).toBe(1)
    expect(end(log, 11, ControlRecordType.ABORT)).toBe(4)
    log.onHighWatermark(5)
    expect(log.firstUnstableOffset).toBe(1)
    expect(end(log, 10, ControlRecordType.ABORT)).toBe(5)
    expect(log.firstUnstableOffset).toBe(1)
    log.onHighWatermark(6)
    expect(log.firstUnstableOffset).toBeUndefined()
    expect(begin(log, 10, 1)).toBe(6)
    expect(end(log, 10, ControlRecordType.COMMIT)).toBe(7)
    const aborted = [{ producerId: 10, firstOffset: 1 }, { producerId: 11, firstOffset: 2 }]
    expect(log.abortedTransactions(0, 8)).toEqual(aborted)
    expect(log.abortedTransactions(5, 8)).toEqual([aborted[0]])
    expect(log.abortedTransactions(6, 8)).toEqual([])
    const open = begin(log, 12)
    memory.crash({ _tag: "process" })
    const again = await reload(memory)
    expect(again.abortedTransactions(0, 8)).toEqual(aborted)
    expect(again.firstUnstableOffset).toBe(open)
    expect(again.activeProducers().find(({ producerId }) => producerId === 12)?.currentTxnStartOffset).toBe(open)
    expect(again.activeProducers().find(({ producerId }) => producerId === 11)?.coordinatorEpoch).toBe(3)
  })

  test("a batch outside the open transaction of its producer is refused", () => {
    const { log } = newLog()
    begin(log, 10)
    const plain = batchOf(["x"], { producerId: 10, producerEpoch: 0, baseSequence: 1 })
    expect(log.appendAsLeader(plain, options)).toMatchObject({ error: ErrorCode.INVALID_TXN_STATE })
  })

  test("a disk that refuses a marker leaves the transaction open", () => {
    const { log, memory } = newLog()
    begin(log, 10)
    memory.limitBytes = memory.usedBytes + 50
    const marker = endTransactionBatch({ type: 0, coordinatorEpoch: 3 }, { crypto, producerId: 10, producerEpoch: 0, timestamp: 1 })
    log.appendAsLeader(marker, { ...options, isCoordinator: true })
    expect(() => log.write()).toThrow("no space")
    memory.limitBytes = Infinity
    expect(log.firstUnstableOffset).toBe(0)
    expect(log.abortedTransactions(0, 10)).toEqual([])
    expect(end(log, 10, ControlRecordType.ABORT)).toBe(1)
    expect(log.abortedTransactions(0, 10)).toHaveLength(1)
  })

  test("truncation takes back what its batches did", () => {
    const { log } = newLog()
    begin(log, 10)
    begin(log, 10, 1)
    end(log, 10, ControlRecordType.ABORT)
    log.truncateTo(2)
    expect(log.firstUnstableOffset).toBe(0)
    expect(log.abortedTransactions(0, 10)).toEqual([])
    log.truncateTo(0)
    expect(log.firstUnstableOffset).toBeUndefined()
    expect(log.activeProducers()).toEqual([])
  })
})
