import edgeseg.EdgeSegException;
import edgeseg.Instance;
import edgeseg.Segmenter;

/** Prints what a bundle finds in images: java Segment BUNDLE IMAGE... */
public final class Segment {
    public static void main(String[] words) {
        if (words.length < 2) {
            System.err.println("usage: java Segment BUNDLE IMAGE...");
            System.exit(2);
        }
        Segmenter.Options options = new Segmenter.Options();
        String engine = System.getenv("EDGE_SEG_ENGINE"); // "null" runs without a model
        options.engine = engine == null ? "" : engine;
        try (Segmenter segmenter = new Segmenter(words[0], options)) {
            for (int i = 1; i < words.length; ++i) {
                System.out.println(words[i]);
                for (Instance found : segmenter.segmentFile(words[i])) {
                    System.out.printf("  %s %.3f at %.1f %.1f %.1f %.1f%n", found.className, found.score, found.x0,
                        found.y0, found.x1, found.y1);
                }
            }
        } catch (EdgeSegException problem) {
            System.err.println("Segment: " + problem.getMessage());
            System.exit(1);
        }
    }
}
