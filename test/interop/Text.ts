/** Lines of real words, the same on every machine for the same sources: what the interop checks send and read back. */
import { createHash } from "node:crypto"
import { createReadStream, createWriteStream, readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { once } from "node:events"
import { repository } from "../../scripts/peers/Processes.ts"
import { Random } from "../oracle/Random.ts"

/** Words of the project's own documents, in the order of their first appearance. */
const words = (): ReadonlyArray<string> => {
  const found = new Set<string>()
  for (const name of readdirSync(repository).filter((one) => /\.md$|^LICENSE$/.test(one)).sort()) {
    for (const word of readFileSync(join(repository, name), "utf8").match(/[\p{L}\p{N}'’-]+/gu) ?? []) found.add(word)
  }
  for (const word of "the quick brown fox jumps over the lazy dog Größe naïve 東京 данные λόγος".split(" ")) found.add(word)
  return Array.from(found)
}

/** Writes `count` lines of 2 to 14 words; none is empty, because line tools drop empty lines. */
export const writeLines = async (path: string, count: number, seed = 1): Promise<void> => {
  const all = words()
  const random = new Random(seed)
  const out = createWriteStream(path)
  for (let at = 0; at < count;) {
    const chunk: Array<string> = []
    for (let n = Math.min(5000, count - at); n > 0; n--, at++) {
      chunk.push(Array.from({ length: random.int(2, 14) }, () => random.pick(all)).join(" "))
    }
    if (!out.write(`${chunk.join("\n")}\n`)) await once(out, "drain")
  }
  out.end()
  await once(out, "finish")
}

export const digestOf = async (path: string): Promise<string> => {
  const hash = createHash("sha256")
  for await (const bytes of createReadStream(path)) hash.update(bytes as Buffer)
  return hash.digest("hex")
}
