/**
 * Log lines on standard output (a broker's) or standard error (a command's), as text for people or as one JSON object a line:
 *
 *     [2026-01-31 12:00:00,123] WARN connection closed peer=… reason="malformed request"
 */
import * as Cause from "effect/Cause"
import type { Layer } from "effect/Layer"
import * as Logger from "effect/Logger"
import { CurrentLogAnnotations } from "effect/References"
import process from "node:process"

type Write = (line: string) => void

const write: Write = (line) => {
  process.stdout.write(`${line}\n`)
}

const show = (value: unknown): string => {
  if (typeof value === "string") return /[\s"=]/.test(value) ? JSON.stringify(value) : value
  return value instanceof Error ? JSON.stringify(value.message) : JSON.stringify(value) ?? String(value)
}

const text = (write: Write): Logger.Logger<unknown, void> => Logger.make(({ cause, date, fiber, logLevel, message }) => {
  const time = date.toISOString().replace("T", " ").replace(".", ",").replace("Z", "")
  const said = (Array.isArray(message) ? message : [message]).map((part) => (typeof part === "string" ? part : show(part))).join(" ")
  const annotations = Object.entries(fiber.getRef(CurrentLogAnnotations)).map(([key, value]) => ` ${key}=${show(value)}`).join("")
  const because = cause.reasons.length === 0 ? "" : `\n${Cause.pretty(cause)}`
  write(`[${time}] ${logLevel.toUpperCase()} ${said}${annotations}${because}`)
})

export const textLogs: Layer<never> = Logger.layer([text(write)])
/** Where standard output is for what a command prints. */
export const errorLogs: Layer<never> = Logger.layer([text((line) => void process.stderr.write(`${line}\n`))])
export const jsonLogs: Layer<never> = Logger.layer([Logger.map(Logger.formatJson, write)])
