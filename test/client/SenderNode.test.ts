/** Which brokers a sender takes for stuck (KIP-794). Its clock may begin at 0, which is a time like every other. */
import * as fc from "fast-check"
import { expect, it } from "vitest"
import { SenderNode } from "../../core/client/SenderNode.ts"

const AVAILABILITY_TIMEOUT_MS = 1000

it("is stuck when something has waited for it for longer than the timeout, whenever that began", () => {
  fc.assert(fc.property(fc.oneof(fc.constant(0), fc.nat(2 ** 40)), fc.nat(3 * AVAILABILITY_TIMEOUT_MS), (beganMs, waitedMs) => {
    const node = new SenderNode(1)
    expect(node.isStuck(AVAILABILITY_TIMEOUT_MS)).toBe(false)
    node.hasWork(beganMs)
    expect(node.isStuck(AVAILABILITY_TIMEOUT_MS)).toBe(false)
    node.hasWork(beganMs + waitedMs)
    expect(node.isStuck(AVAILABILITY_TIMEOUT_MS)).toBe(waitedMs > AVAILABILITY_TIMEOUT_MS)
    expect(node.isStuck(0)).toBe(false)
    node.lastDrainMs = beganMs + waitedMs
    expect(node.isStuck(AVAILABILITY_TIMEOUT_MS)).toBe(false)
  }))
})
