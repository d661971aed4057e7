// Start-to-first-write and stop times of Curator's TestingServer, several in one JVM.
//
// Prints a line for each round: milliseconds to the first write, milliseconds to stop. The client is
// a few bytes on a socket, the same as for the other servers: what is measured is the server.

import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import org.apache.curator.test.TestingServer;

public class TestingServerTimes {
    public static void main(String[] arguments) throws Exception {
        int rounds = Integer.parseInt(arguments[0]);
        for (int round = 0; round < rounds; round++) {
            long begin = System.nanoTime();
            TestingServer server = new TestingServer();
            Socket client = write(server.getPort());
            long written = System.nanoTime();
            client.close();
            long stop = System.nanoTime();
            server.close();
            long stopped = System.nanoTime();
            System.out.println((written - begin) / 1e6 + " " + (stopped - stop) / 1e6);
        }
        System.exit(0);
    }

    private static Socket write(int port) throws Exception {
        Socket socket = new Socket("127.0.0.1", port);
        socket.setTcpNoDelay(true);
        DataOutputStream out = new DataOutputStream(new java.io.BufferedOutputStream(socket.getOutputStream()));
        DataInputStream in = new DataInputStream(socket.getInputStream());
        out.writeInt(45);
        out.writeInt(0);
        out.writeLong(0);
        out.writeInt(10_000);
        out.writeLong(0);
        out.writeInt(16);
        out.write(new byte[16]);
        out.writeByte(0);
        out.flush();
        in.readFully(new byte[in.readInt()]);
        byte[] path = "/first".getBytes(StandardCharsets.UTF_8);
        byte[] scheme = "world".getBytes(StandardCharsets.UTF_8);
        byte[] id = "anyone".getBytes(StandardCharsets.UTF_8);
        out.writeInt(8 + 4 + path.length + 4 + 4 + 4 + 4 + scheme.length + 4 + id.length + 4);
        out.writeInt(1);
        out.writeInt(1);
        out.writeInt(path.length);
        out.write(path);
        out.writeInt(0);
        out.writeInt(1);
        out.writeInt(31);
        out.writeInt(scheme.length);
        out.write(scheme);
        out.writeInt(id.length);
        out.write(id);
        out.writeInt(0);
        out.flush();
        int length = in.readInt();
        in.readInt();
        in.readLong();
        int error = in.readInt();
        in.readFully(new byte[length - 16]);
        if (error != 0) {
            throw new IllegalStateException("create: error " + error);
        }
        return socket;
    }
}
