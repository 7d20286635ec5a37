import * as Effect from "effect/Effect"
import * as MemoryNetwork from "../../core/memory/MemoryNetwork.ts"
import { networkLaws } from "../ports/NetworkLaws.ts"

networkLaws("memory", MemoryNetwork.layer(), (bytes) =>
  Effect.succeed({
    path: "/memory",
    descriptor: -1,
    read: (target, position) => {
      const found = bytes.subarray(position, position + target.length)
      target.set(found)
      return found.length
    }
  }))
