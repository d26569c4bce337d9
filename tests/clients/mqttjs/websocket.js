// What a page in a browser would do, from Node: WebSocket, a subscription, one message to itself.
const mqtt = require('mqtt')

const client = mqtt.connect('ws://localhost:8083/mqtt')

client.on('connect', () => {
  console.log('connected')
  client.subscribe('test', { qos: 2 }, (error, granted) => {
    if (error) throw error
    console.log(`subscribed, QoS ${granted[0].qos}`)
    client.publish('test', 'hello over WebSocket', { qos: 2 })
  })
})

client.on('message', (topic, message) => {
  console.log(`${topic}: ${message}`)
  client.end()
})
