import edgeseg.EdgeSegException;
import edgeseg.Instance;
import edgeseg.Segmenter;
import java.awt.image.BufferedImage;
import java.io.File;
import java.io.PrintStream;
import java.nio.file.Files;
import java.util.List;
import java.util.concurrent.Callable;
import javax.imageio.ImageIO;

/** Calls every method on a bundle and images, and prints what comes of it as lines of JSON, for test_java.py. */
public final class Calls {
    private static PrintStream out;

    public static void main(String[] words) throws Exception {
        out = new PrintStream(System.out, true, "UTF-8");
        Segmenter.Options options = new Segmenter.Options();
        options.engine = "null";
        options.threads = 2;
        options.powerMode = "high";
        options.instances = 3;
        Segmenter segmenter = new Segmenter(words[0], options);
        for (int i = 1; i < words.length; ++i) {
            String image = words[i];
            File file = new File(image);
            attempt(image, "file", () -> segmenter.segmentFile(image));
            if (!file.exists()) {
                continue;
            }
            attempt(image, "bytes", () -> segmenter.segment(Files.readAllBytes(file.toPath())));
            BufferedImage read = image.endsWith(".png") ? ImageIO.read(file) : null;
            if (read != null) {
                int width = read.getWidth();
                int height = read.getHeight();
                int[] colours = read.getRGB(0, 0, width, height, null, 0, width);
                attempt(image, "pixels", () -> segmenter.segment(colours, width, height));
            }
        }
        attempt("", "size", () -> segmenter.segment(new int[7], 2, 4));
        segmenter.close();
        segmenter.close();
        attempt("", "closed", () -> segmenter.segment(new int[8], 2, 4));
        attempt("", "bundle", () -> opened("no such bundle", options));
        options.engine = "other";
        attempt("", "engine", () -> opened(words[0], options));
    }

    private static List<Instance> opened(String bundle, Segmenter.Options options) {
        try (Segmenter segmenter = new Segmenter(bundle, options)) {
            throw new AssertionError("opened " + segmenter.classes());
        }
    }

    private static void attempt(String image, String way, Callable<List<Instance>> call) throws Exception {
        String begin = "{\"image\": \"" + image + "\", \"way\": \"" + way + "\", ";
        try {
            List<Instance> all = call.call();
            for (int i = 0; i < all.size(); ++i) {
                Instance one = all.get(i);
                StringBuilder mask = new StringBuilder();
                for (boolean pixel : one.mask()) {
                    mask.append(pixel ? '1' : '0');
                }
                out.println(begin + "\"index\": " + i + ", \"box\": [" + one.x0 + ", " + one.y0 + ", " + one.x1 + ", "
                    + one.y1 + "], \"score\": " + one.score + ", \"class\": \"" + one.className + "\", \"counts\": \""
                    + one.counts.replace("\\", "\\\\") + "\", \"mask\": \"" + mask + "\"}");
            }
        } catch (EdgeSegException problem) {
            if (problem.getMessage().isEmpty()) {
                throw new AssertionError("an error without words");
            }
            out.println(begin + "\"code\": \"" + problem.code + "\"}");
        } catch (IllegalArgumentException | IllegalStateException problem) {
            out.println(begin + "\"code\": \"" + problem.getClass().getSimpleName() + "\"}");
        }
    }
}
