package edgeseg;

/** An object that was found in an image. */
public final class Instance {
    /** The box's corners in pixels of the image. */
    public final float x0, y0, x1, y1;
    /** From 0 to 1. */
    public final float score;
    /** Of {@link Segmenter#classes()}. */
    public final int classIndex;
    public final String className;
    /** The image's size, which is the mask's. */
    public final int width, height;
    /** The mask as COCO's compressed run-length code. */
    public final String counts;

    Instance(float[] numbers, String className, int width, int height, String counts) {
        x0 = numbers[0];
        y0 = numbers[1];
        x1 = numbers[2];
        y1 = numbers[3];
        score = numbers[4];
        classIndex = (int) numbers[5];
        this.className = className;
        this.width = width;
        this.height = height;
        this.counts = counts;
    }

    /** The mask: for each pixel, row by row, whether it belongs to the object. */
    public boolean[] mask() {
        boolean[] mask = new boolean[width * height];
        long last = 0;
        long beforeLast = 0;
        long run = 0;
        int at = 0;
        int index = 0;
        for (int i = 0; i < counts.length(); ++index) {
            // Five bits a character, lowest first; the sixth says that more follow, the fifth of the last is the sign.
            long value = 0;
            int shift = 0;
            int code;
            do {
                code = counts.charAt(i++) - 48;
                value |= (long) (code & 31) << shift;
                shift += 5;
            } while ((code & 32) != 0);
            if ((code & 16) != 0) {
                value |= -1L << shift;
            }
            // From the fourth run on the difference to the last but one. Runs go down the columns, zeros first.
            run = index > 2 ? value + beforeLast : value;
            beforeLast = last;
            last = run;
            for (long end = at + run; at < end; ++at) {
                mask[at % height * width + at / height] = index % 2 == 1;
            }
        }
        return mask;
    }
}
