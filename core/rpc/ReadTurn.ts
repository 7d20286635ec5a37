/**
 * What is to happen once everything that one read of a socket brought has been handled: who is told of several answers
 * in a row looks at what they come to once, and without a task of the scheduler, which costs as much as the looking.
 * Shared by the connections of one client; their reads never nest.
 */
export class ReadTurn {
  #isIn = false
  #tasks: Array<() => void> = []

  begin(): void {
    this.#isIn = true
  }

  /** Runs what was put off. Tasks must not throw, and may put off no more. */
  end(): void {
    this.#isIn = false
    if (this.#tasks.length === 0) return
    const tasks = this.#tasks
    this.#tasks = []
    for (const task of tasks) task()
  }

  /** Runs `task` at the end of the read that is being handled. @returns false: none is, and the task is not taken */
  after(task: () => void): boolean {
    if (!this.#isIn) return false
    this.#tasks.push(task)
    return true
  }
}
