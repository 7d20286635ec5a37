import { compression } from "../records/Ports.ts"
import { compressionLaws } from "./CompressionLaws.ts"

compressionLaws("this runtime's", compression)
