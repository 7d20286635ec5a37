import * as Layer from "effect/Layer"
import { describe, expect, it } from "vitest"
import { noLibc } from "../../adapters/shared/Libc.ts"
import { Network } from "../../core/ports/Network.ts"
import { networkLaws } from "../../core/testing/index.ts"
import { adapters, makeFile } from "./Runtime.ts"

const { libc, makeNetwork, runtime } = adapters

for (const [name, own] of [["copying", noLibc], ["sendfile", libc]] as const) {
  if (name === "sendfile" && libc.sendfile === undefined) continue
  describe(`laws of Network: ${runtime}, ${name}`, () => {
    for (const law of networkLaws(Layer.succeed(Network, makeNetwork(own)), makeFile)) it(law.name, law.run)
  })
}

it("says how slices are sent", () => {
  expect(makeNetwork(noLibc).transfer).toBe("copy")
  if (libc.sendfile !== undefined) expect(makeNetwork(libc).transfer).toBe("sendfile from 32768 bytes")
})
