/** Of package.json; a test compares them. */
export const version = "0.1.0"

/** The oldest Node that runs it, as `engines` in package.json. */
export const OLDEST_NODE: readonly [major: number, minor: number] = [22, 18]

/** @param version of Node, as "22.18.0" @returns what to do about one that is too old */
export const nodeProblem = (version: string): string | undefined => {
  const [major = 0, minor = 0] = version.split(".").map(Number)
  const [oldestMajor, oldestMinor] = OLDEST_NODE
  if (major > oldestMajor || (major === oldestMajor && minor >= oldestMinor)) return undefined
  return `this is Node ${version}, and it takes Node ${OLDEST_NODE.join(".")} or newer, Bun or Deno`
}
