import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.HashSet;

/**
 * Answers, line by line, in which order a HashSet of strings lists them.
 *
 * <pre>
 * new 8      a new HashSet(8)
 * + name     add       (names as hexadecimal UTF-16BE)
 * - name     remove
 * ?          prints the names in the set's order, with blanks between them
 * clone      prints them in the order of a clone
 * </pre>
 */
public class HashSetOrders {
    public static void main(String[] args) throws Exception {
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.US_ASCII));
        PrintStream out = new PrintStream(System.out, false, "US-ASCII");
        HashSet<String> set = new HashSet<>();
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            String[] words = line.split(" ");
            switch (words[0]) {
                case "new":
                    set = new HashSet<>(Integer.parseInt(words[1]));
                    break;
                case "+":
                    set.add(decode(words[1]));
                    break;
                case "-":
                    set.remove(decode(words[1]));
                    break;
                case "?":
                    print(out, set);
                    break;
                case "clone":
                    print(out, (HashSet<?>) set.clone());
                    break;
                default:
                    throw new IllegalArgumentException(line);
            }
        }
        out.flush();
    }

    private static void print(PrintStream out, HashSet<?> set) {
        StringBuilder text = new StringBuilder();
        for (Object name : set) {
            text.append(text.length() == 0 ? "" : " ").append(encode((String) name));
        }
        out.println(text);
    }

    private static String decode(String hex) {
        StringBuilder name = new StringBuilder();
        for (int i = 0; i < hex.length(); i += 4) {
            name.append((char) Integer.parseInt(hex.substring(i, i + 4), 16));
        }
        return name.toString();
    }

    private static String encode(String name) {
        StringBuilder hex = new StringBuilder();
        for (char unit : name.toCharArray()) {
            hex.append(String.format("%04x", (int) unit));
        }
        return hex.toString();
    }
}
