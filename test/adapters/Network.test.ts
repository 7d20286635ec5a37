import * as Layer from "effect/Layer"
import { expect, it } from "vitest"
import { noLibc } from "../../adapters/shared/Libc.ts"
import { Network } from "../../core/ports/Network.ts"
import { networkLaws } from "../ports/NetworkLaws.ts"
import { adapters, makeFile } from "./Runtime.ts"

const { libc, makeNetwork, runtime } = adapters

networkLaws(`${runtime}, copying`, Layer.succeed(Network, makeNetwork(noLibc)), makeFile)

if (libc.sendfile !== undefined) {
  networkLaws(`${runtime}, sendfile`, Layer.succeed(Network, makeNetwork(libc)), makeFile)
}

it("says how slices are sent", () => {
  expect(makeNetwork(noLibc).transfer).toBe("copy")
  if (libc.sendfile !== undefined) expect(makeNetwork(libc).transfer).toBe("sendfile from 32768 bytes")
})
