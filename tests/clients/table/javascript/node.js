// MQTT.js in Node: node.js ROLE ADDRESS VERSION ARGUMENTS...
const { createRequire } = require('node:module')
const { join } = require('node:path')
const mqtt = createRequire(join(__dirname, '../../mqttjs/package.json'))('mqtt')
require('./roles.js')

const [role, ...rest] = process.argv.slice(2)
globalThis.roles(mqtt, console.log)[role](...rest)
