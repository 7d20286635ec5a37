/** One thing that is checked, by name. It throws when it does not hold. */
export interface Check {
  readonly name: string
  readonly run: () => Promise<void>
}

const shown = (value: unknown): string => (typeof value === "string" ? JSON.stringify(value) : String(value))

/** @throws Error that shows both */
export const same = (what: string, actual: unknown, expected: unknown): void => {
  if (actual !== expected) throw new Error(`${what}\n   is ${shown(actual)}\n  not ${shown(expected)}`)
}

/** @throws Error that shows the text */
export const holds = (what: string, text: string, pattern: RegExp): void => {
  if (!pattern.test(text)) throw new Error(`${what}: ${shown(text)} does not match ${pattern}`)
}
