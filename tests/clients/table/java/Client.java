// The same with the FuseSource client (Debian's libmqtt-client-java), MQTT 3.1.1 only: Client.java ROLE ADDRESS VERSION ARGUMENTS...

import java.net.URI;
import java.util.concurrent.CountDownLatch;
import org.fusesource.hawtbuf.Buffer;
import org.fusesource.hawtbuf.UTF8Buffer;
import org.fusesource.mqtt.client.Callback;
import org.fusesource.mqtt.client.CallbackConnection;
import org.fusesource.mqtt.client.ExtendedListener;
import org.fusesource.mqtt.client.MQTT;
import org.fusesource.mqtt.client.QoS;
import org.fusesource.mqtt.client.Topic;
import org.fusesource.mqtt.client.Tracer;
import org.fusesource.mqtt.codec.CONNACK;
import org.fusesource.mqtt.codec.MQTTFrame;
import org.fusesource.mqtt.codec.PUBLISH;

public final class Client {
    private final String[] arguments;
    private final MQTT settings = new MQTT();
    private final CountDownLatch over = new CountDownLatch(1);
    private CallbackConnection connection;

    private Client(String address, String[] arguments) throws Exception {
        this.arguments = arguments;
        URI place = new URI(address);
        settings.setHost(place.getHost(), place.getPort());
        settings.setVersion("3.1.1");
        settings.setReconnectDelay(200);
        settings.setReconnectBackOffMultiplier(1.0);
        settings.setReconnectAttemptsMax(-1);
        settings.setConnectAttemptsMax(-1);
    }

    public static void main(String[] words) throws Exception {
        String[] rest = java.util.Arrays.copyOfRange(words, 3, words.length);
        Client client = new Client(words[1], rest);
        switch (words[0]) {
            case "subscribe": client.subscribe(); break;
            case "publish": client.publish(); break;
            case "clear": client.clear(); break;
            case "will": client.will(); break;
            default: throw new IllegalArgumentException(words[0]);
        }
        System.exit(0);
    }

    private static synchronized void say(String line) {
        System.out.println(line);
        System.out.flush();
    }

    private void begin(boolean keep) {
        settings.setClientId(arguments[0]);
        settings.setCleanSession(!keep);
        connection = settings.callbackConnection();
    }

    /** Says what CONNACK and PUBLISH say that the library does not hand over: Session Present, QoS, RETAIN. */
    private void tell(int messages) {
        int[] left = {messages};
        settings.setTracer(new Tracer() {
            @Override
            public void onReceive(MQTTFrame frame) {
                if (frame.messageType() == CONNACK.TYPE) say("connected " + (frame.buffers()[0].get(0) & 1));
                if (frame.messageType() != PUBLISH.TYPE) return;
                try {
                    PUBLISH publish = new PUBLISH().decode(frame);
                    int retain = publish.retain() ? 1 : 0;
                    say(publish.topicName() + " " + publish.payload().utf8() + " " + publish.qos().ordinal() + " " + retain);
                } catch (Exception failure) {
                    failure.printStackTrace();
                }
                left[0] -= 1;
                if (left[0] == 0) over.countDown();
            }
        });
    }

    private void subscribe() throws Exception {
        QoS qos = QoS.values()[Integer.parseInt(arguments[2])];
        tell(Integer.parseInt(arguments[4]));
        begin(arguments[3].equals("1"));
        connection.listener(new ExtendedListener() {
            @Override
            public void onPublish(UTF8Buffer topic, Buffer body, Callback<Callback<Void>> ack) {
                ack.onSuccess(null);
            }

            @Override
            public void onPublish(UTF8Buffer topic, Buffer body, Runnable ack) {
                ack.run();
            }

            @Override
            public void onConnected() {
                connection.subscribe(new Topic[] {new Topic(arguments[1], qos)}, or(granted -> say("granted " + granted[0])));
            }

            @Override
            public void onDisconnected() {}

            @Override
            public void onFailure(Throwable failure) {
                failure.printStackTrace();
            }
        });
        connection.connect(or(nothing -> {}));
        over.await();
        end();
    }

    private void publish() throws Exception {
        begin(true);
        int first = Integer.parseInt(arguments[4]);
        int last = Integer.parseInt(arguments[5]);
        CountDownLatch left = new CountDownLatch(last - first + 1);
        QoS qos = QoS.values()[Integer.parseInt(arguments[2])];
        listenToNothing();
        connection.connect(or(nothing -> over.countDown()));
        over.await();
        for (int number = first; number <= last; number++) {
            byte[] payload = Integer.toString(number).getBytes();
            connection.getDispatchQueue().execute(() ->
                connection.publish(arguments[1], payload, qos, arguments[3].equals("1"), or(nothing -> left.countDown())));
            say("publishing " + number);
            Thread.sleep(10);
        }
        left.await();
        end();
        say("all published");
    }

    private void clear() throws Exception {
        begin(false);
        listenToNothing();
        connection.connect(or(nothing ->
            connection.publish(arguments[1], new byte[0], QoS.AT_LEAST_ONCE, true, or(done -> over.countDown()))));
        over.await();
        end();
        say("cleared");
    }

    private void will() throws Exception {
        settings.setWillTopic(arguments[1]);
        settings.setWillMessage(arguments[2]);
        settings.setWillQos(QoS.AT_LEAST_ONCE);
        tell(0);
        begin(false);
        listenToNothing();
        connection.connect(or(nothing -> {}));
        over.await();
    }

    private void listenToNothing() {
        connection.listener(new org.fusesource.mqtt.client.Listener() {
            @Override public void onConnected() {}
            @Override public void onDisconnected() {}
            @Override public void onPublish(UTF8Buffer topic, Buffer body, Runnable ack) { ack.run(); }
            @Override public void onFailure(Throwable failure) { failure.printStackTrace(); }
        });
    }

    private void end() throws Exception {
        CountDownLatch ended = new CountDownLatch(1);
        connection.getDispatchQueue().execute(() -> connection.disconnect(or(nothing -> ended.countDown())));
        ended.await();
    }

    private interface Then<T> {
        void run(T value);
    }

    private static <T> Callback<T> or(Then<T> then) {
        return new Callback<T>() {
            @Override
            public void onSuccess(T value) {
                then.run(value);
            }

            @Override
            public void onFailure(Throwable failure) {
                failure.printStackTrace();
            }
        };
    }
}
