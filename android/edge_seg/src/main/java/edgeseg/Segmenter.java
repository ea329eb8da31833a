package edgeseg;

import java.nio.charset.Charset;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;

/**
 * An open bundle, which finds the instances of its classes in images.
 *
 * <pre>
 * try (Segmenter segmenter = new Segmenter(bundle)) {
 *     for (Instance found : segmenter.segmentFile("photo.jpg")) { ... }
 * }
 * </pre>
 *
 * Threads may share one: images are worked on one after the other. What cannot be done is an {@link EdgeSegException},
 * whose message names the reason and the remedy.
 */
public final class Segmenter implements AutoCloseable {
    static {
        System.loadLibrary("edge_seg_jni");
    }

    private static final Charset UTF8 = Charset.forName("UTF-8");
    private static final int FAILED = -1;

    private final List<String> classes;
    private long model;

    /** How a bundle is opened; what is not set is the bundle's. */
    public static final class Options {
        /** The engine's name, such as "paddle-lite"; "" for the bundle's. */
        public String engine = "";
        /** 0 for the engine's choice. */
        public int threads = 0;
        /** Paddle Lite's: "no-bind", "high", "low", "full", "rand-high" or "rand-low"; "" for the first. */
        public String powerMode = "";
        /** Instances below this score are left out; below 0 for the bundle's threshold. */
        public double score = -1;
        /** The most instances of an image; 0 for as many as the bundle keeps. */
        public int topK = 0;
        /** Exactly so many best boxes whatever their scores, to measure; below 0 for those with the score. */
        public int instances = -1;
        /** A PEM file: the bundle must be signed with that key; "" for none in particular. */
        public String publicKey = "";
    }

    /** Opens and checks the bundle in a folder, and loads its model. */
    public Segmenter(String bundle) {
        this(bundle, new Options());
    }

    public Segmenter(String bundle, Options options) {
        model = open(bytes(bundle), bytes(options.engine), options.threads, bytes(options.powerMode), options.score,
            options.topK, options.instances, bytes(options.publicKey));
        if (model == 0) {
            throw lastError();
        }
        List<String> names = new ArrayList<>();
        for (int i = 0; i < classCount(model); ++i) {
            names.add(text(className(model, i)));
        }
        classes = Collections.unmodifiableList(names);
    }

    /** The names of the classes. */
    public List<String> classes() {
        return classes;
    }

    /**
     * The instances in an image, best first.
     *
     * @param colours 0xAARRGGBB of each pixel, row by row, as Android's Bitmap.getPixels and Java's
     *     BufferedImage.getRGB give them; alpha is ignored
     */
    public synchronized List<Instance> segment(int[] colours, int width, int height) {
        if (width < 1 || height < 1 || (long) width * height != colours.length) {
            throw new IllegalArgumentException(
                "an image of " + width + " x " + height + " pixels, but " + colours.length + " colours");
        }
        return collect(segmentColours(opened(), colours, width, height));
    }

    /** The instances in a JPEG or PNG that is in memory, best first. */
    public synchronized List<Instance> segment(byte[] encoded) {
        return collect(segmentEncoded(opened(), encoded));
    }

    /** The instances in a JPEG or PNG file, best first. */
    public synchronized List<Instance> segmentFile(String path) {
        return collect(segmentFile(opened(), bytes(path)));
    }

    /** Gives the model's memory back. Closing again does nothing. */
    @Override
    public synchronized void close() {
        close(model);
        model = 0;
    }

    private long opened() {
        if (model == 0) {
            throw new IllegalStateException("this Segmenter is closed");
        }
        return model;
    }

    private List<Instance> collect(int count) {
        if (count == FAILED) {
            throw lastError();
        }
        if (count < 0) {
            throw new OutOfMemoryError("no memory for the image");
        }
        int[] size = size(model);
        List<Instance> found = new ArrayList<>(count);
        for (int i = 0; i < count; ++i) {
            float[] numbers = numbers(model, i);
            int index = (int) numbers[5];
            found.add(new Instance(numbers, classes.get(index), size[0], size[1], text(counts(model, i))));
        }
        return found;
    }

    private static EdgeSegException lastError() {
        return new EdgeSegException(text(errorCode()), text(error()));
    }

    private static byte[] bytes(String text) {
        return text.getBytes(UTF8);
    }

    private static String text(byte[] bytes) {
        return new String(bytes, UTF8);
    }

    private static native long open(byte[] bundle, byte[] engine, int threads, byte[] powerMode, double score, int topK,
        int instances, byte[] publicKey);

    private static native void close(long model);

    private static native int classCount(long model);

    private static native byte[] className(long model, int index);

    private static native int segmentColours(long model, int[] colours, int width, int height);

    private static native int segmentEncoded(long model, byte[] encoded);

    private static native int segmentFile(long model, byte[] path);

    private static native int[] size(long model);

    private static native float[] numbers(long model, int index);

    private static native byte[] counts(long model, int index);

    private static native byte[] error();

    private static native byte[] errorCode();
}
