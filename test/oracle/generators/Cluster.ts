/** ApiVersions, DescribeCluster, DescribeLogDirs. */
import { type Generator, somePartition, someTopic, someVersion } from "../World.ts"

export const apiVersions: Generator = {
  api: "ApiVersions",
  weight: 2,
  make: (world) => {
    const { random } = world
    const name = random.weighted([[6, "ottla-oracle"], [1, ""], [1, "-x"], [1, "a b"], [1, "x.y-z"]])
    const version = random.weighted([[6, "1.0"], [1, ""], [1, "1.0-"], [1, "ü"]])
    return {
      api: "ApiVersions",
      version: someVersion(world, "ApiVersions"),
      fields: () => ({ clientSoftwareName: name, clientSoftwareVersion: version })
    }
  }
}

export const describeCluster: Generator = {
  api: "DescribeCluster",
  weight: 2,
  make: (world) => {
    const { random } = world
    const endpointType = random.weighted([[8, 1], [1, 2], [1, 0], [1, 9]])
    const authorized = random.chance(40)
    const fenced = random.chance(30)
    return {
      api: "DescribeCluster",
      version: someVersion(world, "DescribeCluster"),
      fields: () => ({ includeClusterAuthorizedOperations: authorized, endpointType, includeFencedBrokers: fenced })
    }
  }
}

export const describeLogDirs: Generator = {
  api: "DescribeLogDirs",
  weight: 3,
  make: (world) => {
    const names = Array.from(new Set([someTopic(world), someTopic(world)]))
    const topics = names.map((topic) => ({ topic, partitions: Array.from(new Set([somePartition(world, topic), somePartition(world, topic)])) }))
    return {
      api: "DescribeLogDirs",
      version: someVersion(world, "DescribeLogDirs"),
      // never null: all partitions of the broker would be compared
      fields: () => ({ topics })
    }
  }
}
