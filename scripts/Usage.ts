/** What the scripts have in common: their options, and a usage text instead of a stack trace. */
import { readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { parseArgs, type ParseArgsConfig } from "node:util"

type Parsed<Config extends ParseArgsConfig> = ReturnType<typeof parseArgs<Config>>

/** The comment at a script's head, without its stars: what it does and how it is called. */
const headOf = (url: string): string => {
  const source = readFileSync(fileURLToPath(url), "utf8")
  const comment = /\/\*\*([\s\S]*?)\*\//.exec(source)?.[1] ?? ""
  return comment.split("\n").map((line) => line.replace(/^\s*\* ?/, "")).join("\n").trim()
}

/**
 * parseArgs for a script: `--help` prints the comment at its head, and so does an option that it does not have, with
 * what is wrong. Both end the process.
 * @param url import.meta.url of the script
 */
export const scriptOptions = <const Config extends ParseArgsConfig>(url: string, config: Config): Parsed<Config> => {
  const args = config.args ?? process.argv.slice(2)
  if (args.includes("--help") || args.includes("-h")) {
    process.stdout.write(`${headOf(url)}\n`)
    process.exit(0)
  }
  try {
    return parseArgs({ ...config, args: [...args] }) as Parsed<Config>
  } catch (error) {
    const message = (error instanceof Error ? error.message : String(error)).split(". ")[0]
    process.stderr.write(`${message}\n\n${headOf(url)}\n`)
    return process.exit(2)
  }
}
