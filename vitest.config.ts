import { defineConfig } from "vitest/config"

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    // the whole suite shares two cores with nothing else to wait for: a hung test should say so before CI's patience ends
    testTimeout: 120_000,
    hookTimeout: 120_000
  }
})
