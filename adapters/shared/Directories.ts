/** Directories by Node's file system functions, which all three runtimes have. */
import * as fs from "node:fs"
import * as path from "node:path"

/**
 * Makes a directory with those above it that are missing. Each by itself: where none can be made (below /proc), Node's
 * recursive mkdir never ends. @throws what `fs` throws
 */
export const makeDirectories = (directory: string, mode?: number): void => {
  const parent = path.dirname(directory)
  if (!fs.existsSync(parent)) makeDirectories(parent, mode)
  try {
    fs.mkdirSync(directory, mode)
  } catch (error) {
    // It may be there already.
    if (fs.statSync(directory, { throwIfNoEntry: false })?.isDirectory() !== true) throw error
  }
}
