/** Groups with franz-go. */
import { franz } from "../../scripts/peers/Go.ts"
import { type Check, expectEqual, expectSays } from "./Check.ts"

const franzGroup: Check = {
  name: "franz-go shares a group cooperatively, one member takes over, and administers it",
  run: async ({ peer, short }) => {
    const count = short ? 400 : 40_000
    const result = await franz([peer.bootstrap, `${count}`], { timeoutMs: 180_000 })
    expectSays(result, /seen/, "the Go program")
    expectEqual(result.stdout.trim(), `seen ${count + 400} committed ${count + 400}`, "what it counted")
  }
}

export const groupGoChecks: ReadonlyArray<Check> = [franzGroup]
